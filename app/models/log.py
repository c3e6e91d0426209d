"""What services say: a line as it was shipped, its one shape whatever the format, and what is known of it."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

__all__ = [
    "Level",
    "LogAlert",
    "LogAlertKind",
    "LogFormat",
    "LogLine",
    "LogMinute",
    "LogService",
    "RawLine",
    "Template",
]

#: From the least to the most serious.
Level = Literal["debug", "info", "warning", "error", "critical"]

LogFormat = Literal["json", "logfmt", "rfc5424", "access", "text"]

LogAlertKind = Literal["new_template", "burst", "silence"]

#: Levels that count as errors.
ERROR_LEVELS = ("error", "critical")


class RawLine(msgspec.Struct, frozen=True):
    """One line of a log, as it was found. The record's key says where: a file, a unit, a socket.

    text: without its line end; lines that continue it (a stack trace) follow behind line feeds.
    """

    text: Annotated[str, Meta(max_length=65_536)]


class LogLine(msgspec.Struct, frozen=True):
    """One line in the shape that all formats come to.

    service: who said it; the place where it was found when the line does not tell.
    ts: when it was said, seconds since the epoch: what the line says, else when it was shipped.
    fields: whatever else the line tells, as text; at most 32 of them.
    """

    service: str
    level: Level
    message: str
    ts: float
    format: LogFormat
    host: str = ""
    fields: dict[str, str] = {}

    @property
    def is_error(self) -> bool:
        """Whether its level counts as an error."""
        return self.level in ERROR_LEVELS


class LogMinute(msgspec.Struct, frozen=True):
    """How many lines one minute of event time held, and how many of them were errors."""

    lines: int = 0
    errors: int = 0

    def __add__(self, line: LogLine) -> LogMinute:
        """Return the minute with one more line."""
        return LogMinute(self.lines + 1, self.errors + line.is_error)

    @property
    def error_rate(self) -> float:
        """The share of errors, 0 to 1."""
        return self.errors / self.lines if self.lines else 0.0


class Template(msgspec.Struct, frozen=True):
    """A kind of message of one service: its constant words, and <*> where they vary.

    number: counts from 1 within the service, in the order in which they came up; 0 stands for all that came when
        there were too many.
    anchor: the first word of the message that made it, by which the miner's tree finds it again.
    sample, level: of the line that made it.
    minute: the latest minute that held it, event time in seconds; in_minute: how many lines of it that minute held.
    usual: lines a minute, averaged with weights that halve every seven minutes, over the minutes before.
    """

    service: str
    number: int
    text: str
    anchor: str
    sample: str
    level: Level
    first_ts: float
    last_ts: float
    lines: int = 0
    errors: int = 0
    minute: float = 0.0
    in_minute: int = 0
    usual: float = 0.0


class LogService(msgspec.Struct, frozen=True):
    """What is known of one service.

    templates: how many it has. minute: the latest minute, event time in seconds; minutes: how many held lines.
    silent: whether it is known to be silent.
    """

    lines: int = 0
    errors: int = 0
    templates: int = 0
    last_ts: float = 0.0
    minute: float = 0.0
    minutes: int = 0
    silent: bool = False


class LogAlert(msgspec.Struct, frozen=True):
    """Something about a service that a person should look at.

    id: "<kind>:<service>:…", so that a replay raises the same alert, not another one.
    template: its number, and text what it says; None for silence.
    ts: event time, seconds since the epoch: of the line; of the last line before a silence.
    count, usual: of a burst: lines in this minute so far, and lines a minute before.
    """

    id: str
    kind: LogAlertKind
    service: str
    ts: float
    level: Level = "info"
    template: int | None = None
    text: str = ""
    count: int = 0
    usual: float = 0.0
