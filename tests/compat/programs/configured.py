"""A program whose settings the environment overrides."""

import pelton

app = pelton.App("configured", topic_partitions=3, web_port=7000, commit_interval_ms=500)
