"""Checking a finished run hash by hash: every file of every artifact, and every link of the chain to result.json."""
