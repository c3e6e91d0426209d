"""Query 10: log to the file system. All bids as CSV, a directory a day and minute, each bid exactly once.

A file is named after the partition and the first offset in it. Whole batches are written, and a batch is committed as a
whole: so whatever an earlier run of the agent wrote from the first batch's offset on was never committed, and goes.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import polars as pl

import pelton
from bench.nexmark.events import Bid, named

DIRECTORY = Path(os.environ.get("NEXMARK_FILES", named("q10")))

app = pelton.App(named("q10"))
bids = app.topic(named("bids"), key_type=int, value_type=Bid, timestamp=Bid.date_time)


@app.agent(bids)
async def write(stream: pelton.Stream[Bid]) -> None:
    """Write each batch, a file for each minute in it."""
    fresh = True
    async for batch in stream.batches():
        event = stream.current_event
        assert event is not None
        partition, offset = event.message.partition, batch.offsets[0]
        if fresh:
            await asyncio.to_thread(remove_uncommitted, partition, offset)
            fresh = False
        await asyncio.to_thread(write_files, batch.frame(), partition, offset)


def remove_uncommitted(partition: int, offset: int) -> None:
    """Remove the files of a partition that begin at an offset or behind it."""
    for file in DIRECTORY.glob(f"dt=*/hm=*/{partition}-*.csv"):
        if int(file.stem.partition("-")[2]) >= offset:
            file.unlink()


def write_files(frame: pl.DataFrame, partition: int, offset: int) -> None:
    """Write bids into the directories of their minutes."""
    time = pl.col("date_time")
    columns: Sequence[str] = ("auction", "bidder", "price", "date_time", "extra")
    minutes = frame.select(*columns, dt=time.dt.strftime("%Y-%m-%d"), hm=time.dt.strftime("%H:%M"))
    for (dt, hm), rows in minutes.group_by("dt", "hm"):
        directory = DIRECTORY / f"dt={dt}" / f"hm={hm}"
        directory.mkdir(parents=True, exist_ok=True)
        rows.select(columns).write_csv(directory / f"{partition}-{offset:020d}.csv")
