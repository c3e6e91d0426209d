"""From lines of any format to one shape: JSON, logfmt, syslog (RFC 5424), access logs, and text with a time in front.

A line is never refused: what no format fits is text of level "info" at the time when it was shipped. Times without a
zone are taken to be UTC. Pure functions of the line, so that a replay reads the same (no clock, no local time).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple, cast

import msgspec

from app.models import Level, LogFormat, LogLine

__all__ = ["parse"]

MESSAGE_CHARS_MAX = 8_192
FIELDS_MAX = 32
FIELD_CHARS_MAX = 1_024
NAME_CHARS_MAX = 128
#: How far a line's own time may be ahead of its shipping; past that its clock is wrong, and shipping counts.
AHEAD_MAX_S = 300.0
#: 2100-01-01.
TIME_END = 4_102_444_800.0

_LEVELS: dict[str, Level] = {
    **dict.fromkeys(("trace", "debug", "dbg", "fine", "finer", "finest", "verbose"), "debug"),
    **dict.fromkeys(("info", "inf", "information", "informational", "notice", "config", "log"), "info"),
    **dict.fromkeys(("warn", "warning", "wrn"), "warning"),
    **dict.fromkeys(("error", "err", "eror", "severe"), "error"),
    **dict.fromkeys(("crit", "critical", "fatal", "alert", "emerg", "emergency", "panic"), "critical"),
}
_SEVERITIES: tuple[Level, ...] = ("critical", "critical", "critical", "error", "warning", "info", "info", "debug")

_TIME_KEYS = ("ts", "time", "timestamp", "@timestamp", "t", "datetime", "date")
_LEVEL_KEYS = ("level", "severity", "lvl", "levelname", "log.level", "loglevel")
_MESSAGE_KEYS = ("msg", "message", "event", "text", "log")
_SERVICE_KEYS = ("service", "service.name", "app", "application", "component", "logger", "name")
_HOST_KEYS = ("host", "hostname", "host.name")

_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_PAIR = re.compile(r'\s*([A-Za-z_][\w.\-@]*)=("(?:[^"\\]|\\.)*"|[^\s"]*)(?=\s|$)')
_SYSLOG = re.compile(
    r"<(\d{1,3})>1 (\S+) (\S+) (\S+) (\S+) (\S+) "
    r'(-|(?:\[[^\]"]*(?:"(?:[^"\\]|\\.)*"[^\]"]*)*\])+)(?: (.*))?',
    re.DOTALL,
)
_SYSLOG_PARAMETER = re.compile(r'([^\s=\]"\[]+)="((?:[^"\\]|\\.)*)"')
_ACCESS = re.compile(
    r'(\S+) (\S+) (\S+) \[([^\]]+)\] "((?:[^"\\]|\\.)*)" (\d{3}) (\d+|-)'
    r'(?: "((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)")?\s*'
)
_TEXT = re.compile(
    r"\[?(\d{4}-\d\d-\d\d[T ]+\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?)\]?\s+(?:\[\d+\]\s+)?"
    r"(?:\[?([A-Za-z]{3,8})\]?:?\s+)?(.*)",
    re.DOTALL,
)
_LOGGER_BEHIND = re.compile(r"(.*\S)\s+\(([\w$]+(?:\.[\w$]+)+)\)", re.DOTALL)


class _Found(NamedTuple):
    """What a format found in a line; None for what the line does not tell."""

    format: LogFormat
    message: str
    level: Level = "info"
    ts: float | None = None
    service: str = ""
    host: str = ""
    fields: dict[str, str] | None = None


def parse(text: str, source: str, shipped_at: float) -> LogLine:
    """Return a line in the one shape.

    source: where it was found: its service, unless the line tells. shipped_at: seconds since the epoch.
    """
    line = _ANSI.sub("", text).strip()
    if "\r" in line:  # a terminal would show what was written last
        line = line.rsplit("\r", 1)[-1]
    found = next((found for read in _FORMATS if (found := read(line)) is not None), None) or _Found("text", line)
    ts = found.ts
    if ts is None or not 0 <= ts < TIME_END or ts > shipped_at + AHEAD_MAX_S:
        ts = shipped_at
    fields = list((found.fields or {}).items())[:FIELDS_MAX]
    return LogLine(
        service=(found.service or source or "unknown")[:NAME_CHARS_MAX],
        level=found.level,
        message=found.message[:MESSAGE_CHARS_MAX],
        ts=round(ts, 6),
        format=found.format,
        host=found.host[:NAME_CHARS_MAX],
        fields={name[:NAME_CHARS_MAX]: value[:FIELD_CHARS_MAX] for name, value in fields},
    )


def _json(line: str) -> _Found | None:
    if not line.startswith("{"):
        return None
    try:
        content = msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return None
    return _from_mapping("json", cast(dict[str, Any], content), line) if isinstance(content, dict) else None


def _logfmt(line: str) -> _Found | None:
    content: dict[str, Any] = {}
    end = 0
    while end < len(line) and (pair := _PAIR.match(line, end)) is not None:
        name, value = pair.groups()
        content[name] = _unescaped(value[1:-1]) if value.startswith('"') else value
        end = pair.end()
    return _from_mapping("logfmt", content, line) if end == len(line) and len(content) > 1 else None


def _from_mapping(kind: LogFormat, content: dict[str, Any], line: str) -> _Found:
    """Return what named values say; the whole line is the message where none is."""
    rest = dict(content)

    def take(names: tuple[str, ...]) -> Any:
        return next((rest.pop(name) for name in names if rest.get(name) not in (None, "")), None)

    message, level, time = take(_MESSAGE_KEYS), take(_LEVEL_KEYS), take(_TIME_KEYS)
    service, host = take(_SERVICE_KEYS), take(_HOST_KEYS)
    return _Found(
        kind,
        line if message is None else _text(message),
        _level(level),
        _time(time),
        _text(service),
        _text(host),
        {name: _text(value) for name, value in rest.items()},
    )


def _syslog(line: str) -> _Found | None:
    match = _SYSLOG.fullmatch(line)
    if match is None or int(match[1]) > 191:
        return None
    priority, time, host, service, process, kind, data, message = match.groups()
    fields = {name: _unescaped(value) for name, value in _SYSLOG_PARAMETER.findall(data)}
    fields |= {name: value for name, value in (("procid", process), ("msgid", kind)) if value != "-"}
    return _Found(
        "rfc5424",
        (message or "").removeprefix("\ufeff"),
        _SEVERITIES[int(priority) % 8],
        _time(time),
        "" if service == "-" else service,
        "" if host == "-" else host,
        fields,
    )


def _access(line: str) -> _Found | None:
    match = _ACCESS.fullmatch(line)
    if match is None:
        return None
    client, _, user, time, request, status, size, referrer, agent = match.groups()
    fields = {"client": client, "user": user, "status": status, "bytes": size, "referrer": referrer, "agent": agent}
    level: Level = "error" if status >= "500" else "warning" if status >= "400" else "info"
    return _Found(
        "access",
        f"{request} {status}",
        level,
        _access_time(time),
        fields={name: value for name, value in fields.items() if value not in (None, "-")},
    )


def _timed_text(line: str) -> _Found | None:
    """Read what most programs write: a time, maybe a process, maybe a level, and words; Java adds its logger."""
    match = _TEXT.fullmatch(line)
    if match is None:
        return None
    time, word, message = match.groups()
    level = _LEVELS.get(word.lower()) if word else None
    if word and level is None:
        message = line[match.start(2) :]
    logger = _LOGGER_BEHIND.fullmatch(message)
    fields = {}
    if logger is not None:
        message, fields["logger"] = logger.groups()
    return _Found("text", message, level or "info", _time(time), fields=fields)


#: Each returns None where the line is not of its kind; the first that reads it is right.
_FORMATS: tuple[Callable[[str], _Found | None], ...] = (_json, _syslog, _access, _timed_text, _logfmt)


def _level(value: Any) -> Level:
    """Return the level of a word, or of a number as bunyan and pino write them (10 trace … 60 fatal)."""
    if isinstance(value, int):
        return "debug" if value < 30 else "info" if value < 40 else "warning" if value < 50 else _serious(value)
    return _LEVELS.get(str(value).lower(), "info")


def _serious(value: int) -> Level:
    return "error" if value < 60 else "critical"


def _time(value: Any) -> float | None:
    """Return a time in seconds: from ISO 8601, or a number in seconds, milli-, micro- or nanoseconds."""
    if isinstance(value, str) and not re.fullmatch(r"\d{9,19}(\.\d+)?", value):
        try:
            time = datetime.fromisoformat(" ".join(value.split()))
        except ValueError:
            return None
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    for unit, least in ((1e9, 1e17), (1e6, 1e14), (1e3, 1e11)):
        if number >= least:
            return number / unit
    return number


_NAMES = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTHS = {name: number for number, name in enumerate(_NAMES, 1)}


def _access_time(value: str) -> float | None:
    """Return the time of an access log, as in 10/Oct/2000:13:55:36 -0700; `strptime` would ask for the locale."""
    match = re.fullmatch(r"(\d\d)/([A-Z][a-z]{2})/(\d{4}):(\d\d:\d\d:\d\d) ([+-]\d{4})", value)
    if match is None or match[2] not in _MONTHS:
        return None
    return _time(f"{match[3]}-{_MONTHS[match[2]]:02d}-{match[1]}T{match[4]}{match[5]}")


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else msgspec.json.encode(value).decode()


def _unescaped(value: str) -> str:
    return re.sub(r"\\(.)", lambda match: {"n": "\n", "t": "\t"}.get(match[1], match[1]), value)
