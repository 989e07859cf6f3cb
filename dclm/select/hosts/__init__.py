"""How central a document's host is in the graph of links between hosts."""
