"""Work that only one worker may do: it notes in a file shared by all when it is under way, and by whom."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pelton

RUN = os.environ.get("LEADER_RUN", "leader")
JOURNAL = Path(os.environ.get("LEADER_JOURNAL", "journal.txt"))

app = pelton.App(RUN, topic_partitions=4)
events = app.topic(f"{RUN}-events", key_type=str, value_type=int, partitions=4)


def note(work: str, what: str) -> None:
    """Add a line to the journal, at once: appends of a line are not torn."""
    line = f"{time.monotonic():.6f} {os.getpid()} {app.leader_epoch() or 0} {work} {what}\n"
    with JOURNAL.open("a") as file:
        file.write(line)


async def work(name: str, times: int | None) -> None:
    """Be under way for so many beats, or until it is cancelled."""
    note(name, "begin")
    try:
        while times is None or times:
            await asyncio.sleep(0.02)
            note(name, "beat")
            times = None if times is None else times - 1
    finally:
        note(name, "end")


@app.agent(events)
async def nothing(stream: pelton.Stream[int]) -> None:
    """Have partitions to share out."""
    async for _ in stream:
        pass


@app.task(on_leader=True)
async def always() -> None:
    """Be under way for as long as this worker leads."""
    await work("task", None)


@app.timer(0.2, on_leader=True)
async def often() -> None:
    """Be under way for longer than the interval, now and then."""
    await work("timer", 12)


@app.crontab("* * * * * */1", on_leader=True)
async def each_second() -> None:
    """Be under way each second."""
    await work("crontab", 10)
