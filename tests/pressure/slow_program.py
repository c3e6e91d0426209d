"""A program whose agents go at different speeds, all of them slower than its source.

Started as a real worker, with its name (SLOW_APP), the log (BROKER_URL) and the data directory (APP_DATADIR) in the
environment.
"""

from __future__ import annotations

import asyncio
import os

import pelton

RUN = os.environ["SLOW_APP"]
PARTITIONS = 4
#: How long each agent takes for a MiB: 25 MB/s for the slowest, while the source gives a hundred.
SLOW_S, FAST_S = 0.04, 0.01
MIB = 1024 * 1024

app = pelton.App(RUN, topic_partitions=PARTITIONS)
blobs = app.topic(f"{RUN}-blobs", key_type=bytes, value_type=bytes, partitions=PARTITIONS)
latest = app.Table("latest", default=bytes, key_type=bytes, value_type=bytes, partitions=PARTITIONS)
sizes = app.GlobalTable("sizes", default=int, key_type=bytes, partitions=1)


async def work(stream: pelton.Stream[bytes], mib_s: float) -> None:
    """Take so long for each MiB."""
    pending = 0
    async for blob in stream:
        pending += len(blob)
        if pending >= MIB:
            pending -= MIB
            await asyncio.sleep(mib_s * PARTITIONS)


@app.agent(blobs)
async def slow(stream: pelton.Stream[bytes]) -> None:
    """Go slowly."""
    await work(stream, SLOW_S)


@app.agent(blobs)
async def faster(stream: pelton.Stream[bytes]) -> None:
    """Go faster, but not as fast as the source."""
    await work(stream, FAST_S)


@app.agent(blobs)
async def remember(stream: pelton.Stream[bytes]) -> None:
    """Keep a good part of it in tables: as many bytes staged as a commit can bear, and more."""
    async for event in stream.events():
        latest[event.key] = event.value
        sizes[event.key[:1]] = len(event.value)
