"""`faust -A app simulate-logs`: the logs of six services, in five formats, with incidents every ten minutes.

A record's timestamp is the event time of its line, which runs as fast as the wall clock unless --speed says otherwise.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable
from typing import Any

from app.bank import app, raw_logs
from app.commands.pacing import send_paced
from app.models import RawLine
from app.simulation.services import ServicesPlan, WrittenLine, lines_from
from pelton import AppCommand, option

__all__ = ["simulate_logs"]


@app.command(
    option("--rate", type=float, default=50, show_default=True, help="Lines a second of event time."),
    option("--speed", type=float, default=1, show_default=True, help="Seconds of event time a second; 0: at once."),
    option("--seed", type=int, default=7, show_default=True, help="What the whole stream follows from."),
    option("--count", type=int, default=0, help="Stop after so many lines; 0 for never."),
    option("--start", type=float, default=0, help="Event time of the first line, seconds since the epoch; 0 for now."),
)
async def simulate_logs(self: AppCommand, *, rate: float, speed: float, seed: int, count: int, start: float) -> None:
    """Send what six services log, with incidents.

    An incident comes every ten minutes of event time: --speed 60 makes ten minutes of ten seconds. Page: /logs/page.
    """
    plan = ServicesPlan(seed, rate, start or float(int(time.time())))
    await send_paced(lines_from(plan), _send, noun="lines", rate=rate * speed, count=count)


async def _send(line: WrittenLine) -> Awaitable[Any]:
    return await raw_logs.send(key=line.source, value=RawLine(line.text), timestamp=line.ts)
