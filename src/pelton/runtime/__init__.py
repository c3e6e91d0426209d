"""How a program is run: assignment, tasks, the batch loop, commits and restores."""
