"""Error bars, clusters, comparisons."""
