"""Documents as an artifact: their schema, files and ledger, and what can be asked of them."""
