"""What tests stand on: a real broker for integration tests, and simulated clock, log and disk."""
