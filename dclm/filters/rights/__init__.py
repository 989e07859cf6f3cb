"""What pages say about their own use: reservations, robots directives, Creative Commons licenses."""
