"""What each step of a pipeline is worth."""
