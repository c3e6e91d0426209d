"""What is worth an alert in a service's log: pure functions of a line and what is known of its service."""

from __future__ import annotations

import math

from msgspec.structs import replace

from app.models import LogAlert, LogLine, LogService, Template

__all__ = ["SILENCE_S", "after_line", "burst", "new_template", "new_version", "silence"]

#: Without a line for so long, a service is silent.
SILENCE_S = 120.0
#: Minutes with lines that a service is only learned from; what is usual is not known before.
LEARNING_MINUTES = 5
#: A burst is so many times what is usual, and so many lines of one template in a minute, of errors and of others.
BURST_FACTOR = 5.0
BURST_MIN_ERRORS = 5
BURST_MIN_LINES = 30
#: The weight of the latest minute in what is usual; half of the weights lie in the last seven minutes.
USUAL_WEIGHT = 0.1


def minute_of(ts: float) -> float:
    """Return the start of the minute that holds a time, in seconds since the epoch."""
    return math.floor(ts / 60) * 60.0


def after_line(service: LogService, line: LogLine, number: int) -> LogService:
    """Return what is known of a service after one more line, of the template with this number."""
    minute = minute_of(line.ts)
    return LogService(
        lines=service.lines + 1,
        errors=service.errors + line.is_error,
        templates=max(service.templates, number),
        last_ts=max(service.last_ts, line.ts),
        minute=max(service.minute, minute),
        minutes=service.minutes + (minute > service.minute),
        silent=False,
    )


def new_version(before: Template | None, line: LogLine, number: int, text: str, anchor: str) -> Template:
    """Return a template after one more line; before is None for its first one.

    A minute's lines enter what is usual when a later minute begins; minutes without any count as such. Lines that are
    late, of a minute before, change no average.
    """
    minute = minute_of(line.ts)
    if before is None:
        before = Template(line.service, number, text, anchor, line.message[:500], line.level, line.ts, line.ts)
    usual, in_minute, latest = before.usual, before.in_minute, max(before.minute, minute)
    if minute > before.minute and before.lines:
        idle = min(10_000.0, (minute - before.minute) / 60 - 1)
        usual = ((1 - USUAL_WEIGHT) * usual + USUAL_WEIGHT * in_minute) * (1 - USUAL_WEIGHT) ** idle
        in_minute = 0
    return replace(
        before,
        text=text,
        first_ts=min(before.first_ts, line.ts),
        last_ts=max(before.last_ts, line.ts),
        lines=before.lines + 1,
        errors=before.errors + line.is_error,
        minute=latest,
        in_minute=in_minute + (minute == latest),
        usual=usual,
    )


def new_template(service: LogService, template: Template) -> LogAlert | None:
    """Alert when a service that is known says something for the first time."""
    if service.minutes <= LEARNING_MINUTES or template.lines != 1:
        return None
    return _alert("new_template", template, f"{template.number}", template.first_ts)


def burst(service: LogService, template: Template, line: LogLine) -> LogAlert | None:
    """Alert once a minute, on the line with which a template is far above what is usual for it."""
    least = BURST_MIN_ERRORS if line.is_error else BURST_MIN_LINES
    limit = max(least, math.ceil(BURST_FACTOR * template.usual))
    known = service.minutes > LEARNING_MINUTES
    if not known or template.in_minute != limit or minute_of(line.ts) != template.minute:
        return None
    alert = _alert("burst", template, f"{template.number}:{template.minute:.0f}", line.ts)
    return replace(alert, level=line.level, count=template.in_minute, usual=round(template.usual, 2))


def silence(name: str, service: LogService) -> LogAlert:
    """Return the alert for a service that says nothing any more."""
    return LogAlert(f"silence:{name}:{service.last_ts:.3f}", "silence", name, service.last_ts, "warning")


def _alert(kind: str, template: Template, rest: str, ts: float) -> LogAlert:
    return LogAlert(
        id=f"{kind}:{template.service}:{rest}",
        kind="burst" if kind == "burst" else "new_template",
        service=template.service,
        ts=ts,
        level=template.level,
        template=template.number,
        text=template.text,
    )
