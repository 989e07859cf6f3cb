"""Between segments: keys are exchanged, decisions made, and drops handed back to shards."""
