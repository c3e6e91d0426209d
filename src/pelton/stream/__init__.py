"""What an agent iterates, and where the effects of its events are kept until they are complete."""
