"""Labels by an instructed language model, with every request and answer kept."""
