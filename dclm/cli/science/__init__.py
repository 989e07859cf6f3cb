"""Commands that compare and predict."""
