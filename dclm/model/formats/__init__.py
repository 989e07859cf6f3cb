"""Models of other formats: Hugging Face's, GGUF and open_lm's."""
