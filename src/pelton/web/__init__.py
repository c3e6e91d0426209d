"""The view of a running worker."""
