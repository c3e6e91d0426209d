"""Two agents on one topic, of which one can be paused; its name (PAUSING_APP) and log come from the environment."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Any

import pelton

RUN = os.environ["PAUSING_APP"]
PARTITIONS = 2

app = pelton.App(RUN, topic_partitions=PARTITIONS)
orders = app.topic(f"{RUN}-orders", key_type=str, value_type=int, partitions=PARTITIONS)
billed = app.topic(f"{RUN}-billed", value_type=int, partitions=PARTITIONS)
packed = app.topic(f"{RUN}-packed", value_type=int, partitions=PARTITIONS)


@app.agent(orders, sink=[billed])
async def bill(stream: pelton.Stream[int]) -> AsyncIterator[int]:
    """Bill each order."""
    async for order in stream:
        yield order


@app.agent(orders, sink=[packed])
async def pack(stream: pelton.Stream[int]) -> AsyncIterator[int]:
    """Pack each order."""
    async for order in stream.group_by(lambda order: str(order % 5), name="shelf"):
        yield order


@app.page("/partitions")
async def partitions(view: Any, request: Any) -> Any:
    """Tell which partition numbers run here, and which agents are paused."""
    running = app.runtime.partitions.values() if app.runtime is not None else ()
    numbers = sorted(partition.number for partition in running if partition.state == "running")
    statistics = app.statistics()
    return view.json({"numbers": numbers, "paused": statistics.paused if statistics is not None else []})
