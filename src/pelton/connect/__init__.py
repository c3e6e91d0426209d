"""Sources and sinks at the edge of the log."""
