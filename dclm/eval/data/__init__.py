"""The rows of the tasks: their sources and formats."""
