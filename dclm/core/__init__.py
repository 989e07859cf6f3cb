"""The foundations: errors, configuration, identity, storage, and the interface of engines."""
