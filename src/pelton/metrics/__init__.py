"""Reads every part's statistics and tells them to the outside."""
