"""Places at which a worker can be made to die, to show that nothing is lost or doubled wherever that happens.

A step of the engine is marked with `@step(name)`. It has two points, name.before and name.after. Where the environment
says PELTON_KILL_POINT=commit.after:3, the process ends itself with SIGKILL behind its third commit: nothing is flushed,
closed or told to anybody, as when it is killed from outside. Without that variable `step` gives the function back
as it is, so a step that nobody kills costs nothing.
"""

from __future__ import annotations

import functools
import inspect
import os
import re
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from pelton.errors import ConfigurationError

__all__ = ["STEPS", "VARIABLE", "KillPoint", "armed", "step"]

VARIABLE = "PELTON_KILL_POINT"

#: Every step, in the order in which a batch and a worker meet them, with what it does on each log.
STEPS = {
    "fetch": "records come from the log",
    "table-write": "a complete event's writes join those of its partition",
    "begin": "SQLite: BEGIN IMMEDIATE; Kafka: AddOffsetsToTxn",
    "produce": "changelogs and output, SQLite: a batch's rows; Kafka: a round of record batches, acknowledged",
    "offsets": "SQLite: the group's rows; Kafka: TxnOffsetCommit, at least once OffsetCommit",
    "commit": "SQLite: COMMIT; Kafka: EndTxn",
    "store-write": "one RocksDB batch: values, and the changelog positions they stand for",
    "store-open": "RocksDB replays its own log and renames its manifest",
    "store-close": "RocksDB flushes its memtables and lets go of its lock",
    "restore-write": "a batch of a changelog goes into the store",
}

_WRITTEN = re.compile(r"(?P<step>[a-z-]+)\.(?P<side>before|after):(?P<nth>[1-9]\d*)")
_Function = TypeVar("_Function", bound=Callable[..., Any])


@dataclass(slots=True)
class KillPoint:
    """One side of one step, and at which of its occurrences the process dies; counted over all threads."""

    step: str
    side: str
    nth: int
    _seen: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def reach(self, side: str) -> None:
        """Die if this is the occurrence."""
        if side != self.side:
            return
        with self._lock:
            self._seen += 1
            if self._seen == self.nth:
                os.write(2, f"killed at {self.step}.{self.side}:{self.nth}\n".encode())
                os.kill(os.getpid(), signal.SIGKILL)


def armed(written: str | None) -> KillPoint | None:
    """Return the kill point that the environment names, None when it names none. Raises: ConfigurationError."""
    if not written:
        return None
    found = _WRITTEN.fullmatch(written)
    if found is None or found["step"] not in STEPS:
        raise ConfigurationError(
            f"{VARIABLE}: expected step.before:n or step.after:n, got {written!r}",
            hint=f"n counts from 1; the steps are {', '.join(STEPS)}",
        )
    return KillPoint(found["step"], found["side"], int(found["nth"]))


_ARMED = armed(os.environ.get(VARIABLE))


def step(name: str, point: KillPoint | None = _ARMED) -> Callable[[_Function], _Function]:
    """Mark a function, or a coroutine function, as a step of the engine; the same function unless it is armed."""

    def mark(function: _Function) -> _Function:
        return function if point is None or point.step != name else cast("_Function", _around(function, point))

    return mark


def _around(function: Callable[..., Any], point: KillPoint) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def step_later(*args: Any, **kwargs: Any) -> Any:
            point.reach("before")
            result = await function(*args, **kwargs)
            point.reach("after")
            return result

        return step_later

    @functools.wraps(function)
    def step_now(*args: Any, **kwargs: Any) -> Any:
        point.reach("before")
        result = function(*args, **kwargs)
        point.reach("after")
        return result

    return step_now
