"""What everything stands on: errors, configuration, identity, storage, engines as an interface."""
