"""How often and after which pauses something that failed is tried again.

The pauses grow, and each is cut by a share that differs from one record to the next, so that many that failed together
do not come back together. The share is worked out from the record's place, not drawn: a replay waits just as long.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast
from zlib import crc32

from pelton.errors import ConfigurationError
from pelton.window.times import seconds

__all__ = ["Backoff", "Errors"]

#: Classes of errors, or what says of an error whether it is meant.
Errors = type[BaseException] | tuple[type[BaseException], ...] | Callable[[BaseException], bool]

#: A pause that was multiplied so often is longer than the longest; a larger power might not fit a float.
_GROWTHS_MAX = 64
_PER_CHECKSUM = 2**-32


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """When to try again what failed, and when to give up.

    retries: attempts after the first; None for as many as it takes.
    first: the pause before the first retry, in seconds or as a timedelta; each further one is `factor` times as long,
        up to `longest`.
    jitter: which part of a pause may be cut off, from 0 (none) to 1 (all of it).
    retry_on: the errors that are tried again: a class, several, or a function of the error; any others are given up
        at once. give_up_on: those that are given up all the same.
    Raises: ConfigurationError for what makes no sense.
    Source: the pauses are those of exponential back-off with (partial) jitter, as in M. Brooker, "Exponential Backoff
        And Jitter", AWS Architecture Blog, 2015.

    >>> backoff = Backoff(retries=3, first=1, longest=3, jitter=0)
    >>> [backoff.pause_s(attempt) for attempt in (1, 2, 3)]
    [1.0, 2.0, 3.0]
    >>> Backoff(give_up_on=ValueError).gives_up(ValueError("it will never be a number"), attempt=1)
    True
    """

    retries: int | None = 3
    first: float | timedelta = 0.1
    factor: float = 2.0
    longest: float | timedelta = 30.0
    jitter: float = 0.5
    retry_on: Errors = Exception
    give_up_on: Errors = ()
    _first_s: float = field(init=False, repr=False, compare=False)
    _longest_s: float = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.retries is not None and not _is_count(self.retries):
            raise _wrong("retries", "a whole number, at least 0, or None for as many as it takes", self.retries)
        for name in ("first", "longest"):
            given = getattr(self, name)
            if not isinstance(given, timedelta) and not _is_number(given):
                raise _wrong(name, "seconds, or a timedelta", given)
            if seconds(given) < 0:
                raise _wrong(name, "at least 0 seconds", given)
        if not _is_number(self.factor) or self.factor < 1:
            raise _wrong("factor", "a number, at least 1", self.factor)
        if not _is_number(self.jitter) or not 0 <= self.jitter <= 1:
            raise _wrong("jitter", "a number from 0 to 1", self.jitter)
        for name in ("retry_on", "give_up_on"):
            _check_errors(name, getattr(self, name))
        object.__setattr__(self, "_first_s", seconds(self.first))
        object.__setattr__(self, "_longest_s", seconds(self.longest))

    def gives_up(self, error: BaseException, attempt: int) -> bool:
        """Return whether there is no further attempt. attempt: the number of the one that failed, from 1."""
        if self.retries is not None and attempt > self.retries:
            return True
        return _meant(self.give_up_on, error) or not _meant(self.retry_on, error)

    def pause_s(self, attempt: int, place: str = "") -> float:
        """Return how long to wait after a failed attempt, in seconds.

        attempt: its number, from 1. place: what failed, in any words that tell it from others; the jitter hangs on it.
        """
        pause_s = min(self._first_s * self.factor ** min(attempt - 1, _GROWTHS_MAX), self._longest_s)
        return pause_s * (1 - self.jitter * crc32(b"%d %s" % (attempt, place.encode())) * _PER_CHECKSUM)


def _meant(errors: Errors, error: BaseException) -> bool:
    if isinstance(errors, type | tuple):
        return isinstance(error, errors)
    return bool(errors(error))


def _is_number(given: Any) -> bool:
    return isinstance(given, int | float) and not isinstance(given, bool)


def _is_count(given: Any) -> bool:
    return isinstance(given, int) and not isinstance(given, bool) and given >= 0


def _check_errors(name: str, given: Any) -> None:
    classes: tuple[Any, ...] = given if isinstance(given, tuple) else (given,)  # pyright: ignore[reportUnknownVariableType]
    if all(isinstance(one, type) and issubclass(one, BaseException) for one in classes):
        return
    if callable(cast(Any, given)) and not isinstance(given, type):
        return
    raise _wrong(name, "classes of errors, or a function of the error", cast(object, given))


def _wrong(name: str, expected: str, given: object) -> ConfigurationError:
    hint = "as in pelton.Backoff(retries=5, first=0.2, longest=60, give_up_on=ValueError)"
    return ConfigurationError(f"Backoff: {name}: expected {expected}; got {given!r}", hint=hint)
