"""A program that gets stuck when it is told to: each record says what its handling does.

It is started as a real worker, with its name (STUCK_APP), the log (BROKER_URL) and the data directory (APP_DATADIR) in
the environment; STUCK_PARTITIONS is how many its topic has. STUCK_REBALANCE=1 has a handler of rebalances wait for
ever, so the fetch it runs in never returns.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator
from typing import Any

import pelton

RUN = os.environ["STUCK_APP"]
PARTITIONS = int(os.environ.get("STUCK_PARTITIONS", "1"))

app = pelton.App(RUN, topic_partitions=PARTITIONS)
orders = app.topic(f"{RUN}-orders", value_type=str, partitions=PARTITIONS)
done = app.topic(f"{RUN}-done", value_type=str, partitions=1)


@app.agent(orders, sink=[done])
async def obey(stream: pelton.Stream[str]) -> AsyncIterator[str]:
    """Do what each record says, and pass it on."""
    async for order in stream:
        word, _, seconds = order.partition(" ")
        if word == "block":
            time.sleep(float(seconds))  # noqa: ASYNC251 - that is the fault
        elif word == "wait":
            await asyncio.sleep(float(seconds))
        elif word == "backtrack":
            re.match(r"(a+)+$", "a" * 64 + "b")
        yield order


@app.page("/group")
async def group(view: Any, request: Any) -> Any:
    """Tell where this worker stands in its group."""
    runtime = app.engine.runtime
    if runtime is None:
        return view.json({}, status=503)
    member = runtime.group
    numbers = sorted(source.partition for source in member.assignment())
    return view.json({"generation": member.generation, "numbers": numbers, "pid": os.getpid()})


@app.on_partitions_assigned.connect
async def assigned(app: Any, partitions: set[Any], **_: Any) -> None:
    """Never return, if told so."""
    if partitions and os.environ.get("STUCK_REBALANCE"):
        await asyncio.Event().wait()
