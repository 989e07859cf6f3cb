"""Commands about pools and documents."""
