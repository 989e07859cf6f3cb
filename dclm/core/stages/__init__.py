"""How every stage runs: its units on an engine, its journal, lease and ownership, and what it replaces."""
