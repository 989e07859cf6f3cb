"""The one style of pictures and pages."""
