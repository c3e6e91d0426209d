"""Log lines as JSON, one object a line, with what the code was at: for whoever collects logs of many workers.

What an event's handling logs, in agents too, carries the event's topic, partition and offset, and no code needs to pass
them on: the lane of the task that logs knows them.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from datetime import UTC, datetime
from typing import Any

import orjson

from pelton.stream.lane import CURRENT_LANE

__all__ = ["JsonFormatter", "log_as_json", "where"]

#: What every log record has; whatever else it has was given by `extra=`.
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """Makes a line of JSON: time (UTC), level, logger, message, task, what the event was, `extra=`, and the error."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        told: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage().strip(),
            "process": record.process,
        }
        told |= where(record)
        told |= {name: value for name, value in vars(record).items() if name not in _OWN and name not in told}
        if record.exc_info and record.exc_info[1] is not None:
            told["error"] = repr(record.exc_info[1])
            told["traceback"] = "".join(traceback.format_exception(record.exc_info[1]))
        return orjson.dumps(told, default=repr, option=orjson.OPT_NON_STR_KEYS).decode()


def where(record: logging.LogRecord) -> dict[str, Any]:
    """Return what the code that logs is at: its task, and its event when there is one. What `extra=` says stands."""
    found: dict[str, Any] = {"task": _task()}
    lane = CURRENT_LANE.get()
    if lane is not None:
        found |= {"agent": lane.agent, "partition": lane.partition}
        if lane.chunk is not None and lane.apart is None:
            found |= {"topic": lane.chunk.batch.topic, "offset": lane.chunk.offset(lane.cursor)}
    return {name: getattr(record, name, value) for name, value in found.items()}


def _task() -> str | None:
    """Return the name of the asyncio task that logs; None outside of all."""
    try:
        task = asyncio.current_task()
    except RuntimeError:  # a thread without a loop
        return None
    return task.get_name() if task is not None else None


def log_as_json() -> None:
    """Have every handler of the root logger write JSON from here on."""
    for handler in logging.getLogger().handlers:
        handler.setFormatter(JsonFormatter())
