"""The rows of the tasks: where they come from, and in which form."""
