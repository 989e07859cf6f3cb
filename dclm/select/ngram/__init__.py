"""N-gram language models: scoring with KenLM's files like CCNet, and training small models."""
