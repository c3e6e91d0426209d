"""What an agent iterates: events, batches, operators."""
