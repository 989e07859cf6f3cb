"""A pool through a pipeline: steps, segments, units of work and the exchange between them."""
