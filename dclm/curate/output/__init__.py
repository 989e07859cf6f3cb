"""What a unit and an artifact hold: documents, ledger, counts, and how shards are put together."""
