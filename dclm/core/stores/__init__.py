"""Where files are: local folders, object stores, and copies of their objects on this machine."""
