"""Times and durations as programs give them, in whole milliseconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from pelton.errors import ConfigurationError

__all__ = ["as_ms", "declared_ms", "iso_time", "milliseconds", "seconds"]

#: The calendar of datetime: years 1 to 9999, in seconds since the epoch.
_LEAST_S, _GREATEST_S = -62_135_596_800.0, 253_402_300_800.0


def seconds(duration: float | timedelta) -> float:
    """Return a duration in seconds, given as such or as a timedelta."""
    return duration.total_seconds() if isinstance(duration, timedelta) else float(duration)


def milliseconds(duration: float | timedelta) -> int:
    """Return a duration, in seconds or as a timedelta, in milliseconds."""
    return round(seconds(duration) * 1000)


def declared_ms(duration: object) -> int:
    """Return a duration that a program declares in milliseconds. Raises: ConfigurationError for what is none."""
    try:
        return milliseconds(duration)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    except (TypeError, ValueError, OverflowError):
        raise ConfigurationError(f"expected a duration in seconds or as a timedelta, got {duration!r}") from None


def as_ms(time: Any) -> int:
    """Return a time, in seconds since the epoch, as a datetime or in ISO 8601, in milliseconds.

    One without a time zone is of UTC: what comes of a record must not hang on the zone of the machine (invariant I8).
    Raises: ValueError outside of the years 1 to 9999: it would pass everything that is open by thousands of years.
    """
    if isinstance(time, str):
        time = datetime.fromisoformat(time)
    if isinstance(time, datetime):
        return round((time if time.tzinfo is not None else time.replace(tzinfo=UTC)).timestamp() * 1000)
    seconds_ = float(time)
    if not _LEAST_S <= seconds_ <= _GREATEST_S:
        raise ValueError(
            f"expected a time in seconds since the epoch, from year 1 to 9999, got {time!r}; is it in milliseconds?"
        )
    return round(seconds_ * 1000)


def iso_time(time_ms: int) -> str:
    """Return a time in milliseconds since the epoch as ISO 8601 in UTC; one outside of the calendar stays a number.

    >>> iso_time(60_000)
    '1970-01-01T00:01:00.000+00:00'
    """
    try:
        return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds")
    except (OverflowError, ValueError, OSError):
        return f"{time_ms} ms"
