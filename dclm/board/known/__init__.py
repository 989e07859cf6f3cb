"""Facts that a board knows in advance: suites, tasks, scales, and the results that DCLM has published."""
