"""Dead letters for programs, and what they are counted by."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from pelton.runtime.letters import Letter
from pelton.window import iso_time

__all__ = ["reason_of", "summary_json"]


def reason_of(letter: Letter) -> str:
    """Return what letters are counted by: the first line of the error, whatever the numbers in it."""
    return re.sub(r"\d+", "#", letter.error.partition("\n")[0]) or "?"


def summary_json(letter: Letter) -> dict[str, Any]:
    """Return a letter without its contents."""
    return {
        "number": str(letter.number),
        "time": iso_time(letter.timestamp_ms),
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "agent": letter.agent,
        "kind": letter.kind,
        "error": letter.error,
        "attempts": letter.attempts,
        "result": letter.result or None,
        "settled": None if letter.mark is None else msgspec.to_builtins(letter.mark),
    }
