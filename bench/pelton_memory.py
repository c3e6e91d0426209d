"""A program whose keys never come back: windows that expire, a table whose keys are deleted, and output.

Started by `bench.memory` as a real worker, with the run's name (MEMORY_RUN), the number of partitions
(MEMORY_PARTITIONS), the log (BROKER_URL) and the data directory (APP_DATADIR) in the environment.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import msgspec

import pelton

RUN = os.environ.get("MEMORY_RUN", "memory")
PARTITIONS = int(os.environ.get("MEMORY_PARTITIONS", "64"))


class Visit(msgspec.Struct):
    """One of the few visits of a visitor. last: whether none follows; ts: event time in seconds."""

    visitor: str
    last: bool
    ts: float


app = pelton.App(RUN)
visits = app.topic(f"{RUN}-visits", key_type=str, value_type=Visit, partitions=PARTITIONS)
visitors = app.topic(f"{RUN}-visitors", key_type=str, value_type=int, partitions=PARTITIONS)
windows = (
    app.Table("windows", default=int, key_type=str, partitions=PARTITIONS)
    .tumbling(10, expires=30)
    .relative_to_field(Visit.ts)
)
present = app.Table("present", default=int, key_type=str, partitions=PARTITIONS)


@app.agent(visits, sink=[visitors])
async def count(stream: pelton.Stream[Visit]) -> AsyncIterator[int]:
    """Count visits in windows, and those of the visitors who are still expected back."""
    async for visit in stream:
        windows[visit.visitor] = windows[visit.visitor].current() + 1
        if visit.last:
            yield present.pop(visit.visitor, 0) + 1
        else:
            present[visit.visitor] += 1
