"""Stream processing for Python: Faust's programming model on an exactly-once, batch-first engine."""
