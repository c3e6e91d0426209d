"""The engine at work: assignment, tasks, the batch loop, commit and restore."""
