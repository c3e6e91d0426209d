"""The program of bench/failover.py: it counts each key in a table."""

from __future__ import annotations

import os

import pelton

app = pelton.App(os.environ["FAILOVER_APP"], topic_partitions=2)
visits = app.topic(f"{app.conf.id}-visits", key_type=str, value_type=int, partitions=2)
counts = app.Table("counts", default=int, key_type=str, value_type=int, partitions=2)


@app.agent(visits)
async def count(stream: pelton.Stream[int]) -> None:
    """Count."""
    async for key, _ in stream.items():
        counts[key] += 1
