"""What a board knows beforehand: suites, tasks, scales, and the results that DCLM has published."""
