"""A program on a Kafka that asks who it is; everything about that comes from the environment, as in production."""

from __future__ import annotations

import os

import pelton

app = pelton.App(os.environ["SECURED_APP"], topic_partitions=1)
numbers = app.topic(f"{app.conf.id}-numbers", key_type=str, value_type=int)
table = app.Table("sums", default=int)


@app.agent(numbers)
async def add(stream: pelton.Stream[int]) -> None:
    """Sum up, and end when there is nothing more to come; fail on one number, so that an error is told."""
    async for number in stream:
        if number == 13:
            raise ValueError("unlucky")
        table["sum"] += number


@app.timer(0.05)
async def ready() -> None:
    """Tell once that all three are done."""
    statistics = app.statistics()
    if statistics is not None and statistics.committed_records >= 3:
        print("all done", flush=True)
