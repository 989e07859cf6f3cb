"""The common style of charts and pages."""
