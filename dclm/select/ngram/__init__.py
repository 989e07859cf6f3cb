"""N-gram language models: scoring with KenLM's files as CCNet does, and training small ones."""
