"""The documents artifact: its schema, files and ledger, and queries on it."""
