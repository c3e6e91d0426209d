"""One call to the outside: attempts, until one succeeds or it is given up."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from inspect import isawaitable
from typing import Any, cast

from pelton.backoff import Backoff
from pelton.errors import ConfigurationError, RecordTooLargeError, UserCodeError
from pelton.stream.ahead_feed import AheadFeed
from pelton.stream.call_state import Call, CallPlan, Flight

__all__ = ["attempt_until_landed"]

logger = logging.getLogger(__name__)

#: Errors that another attempt would meet again.
_FINAL = (ConfigurationError, RecordTooLargeError)


async def attempt_until_landed(
    plan: CallPlan[Any], feed: AheadFeed, flight: Flight, call: Call, land: Callable[[bytes], None]
) -> None:
    """Call the function of the plan with an event's value, again after each failure.

    land: records the result; what it raises is a failure like any other. One that is given up leaves its last error in
    the flight.
    """
    place = f"{call.chunk.batch.source}@{call.chunk.offset(0)}"
    backoff = plan.backoff or feed.backoff
    while True:
        flight.attempts += 1
        await _turn(plan, feed)
        try:
            land(await _attempt(plan, call.value))
            return
        except asyncio.CancelledError as error:
            if cast("asyncio.Task[None]", asyncio.current_task()).cancelling():
                raise
            failure: Exception = UserCodeError(f"what a call awaited was cancelled: {error!r}")
        except Exception as error:  # the user's own code, which may raise anything
            failure = error
        if isinstance(failure, _FINAL) or _gives_up(backoff, failure, flight.attempts):
            flight.error = failure
            return
        logger.info("a call for %s failed, attempt %d: %r", place, flight.attempts, failure)
        await feed.sleep(backoff.pause_s(flight.attempts, place))


async def _turn(plan: CallPlan[Any], feed: AheadFeed) -> None:
    """Wait until a call may begin: for the rate limit, and for the end of a pause."""
    while plan.bucket is not None:
        await feed.resumed()
        await plan.bucket.turn(feed.monotonic, feed.sleep)
        if not feed.paused:
            break  # else it takes another turn behind the resume: all that waited would begin at once
    await feed.resumed()


async def _attempt(plan: CallPlan[Any], value: Any) -> bytes:
    """Call once. Returns: the result as it is recorded."""
    limit = asyncio.timeout(plan.timeout_s)
    try:
        async with limit:
            result = plan.function(value)
            if not isawaitable(result):
                raise ConfigurationError(
                    f"map_async: {plan.function!r} is not async, it returned {result!r}",
                    hint="write async def; what needs no waiting can be done in the loop itself",
                )
            answer = await result
    except TimeoutError as error:
        if limit.expired():
            raise TimeoutError(f"the call took longer than {plan.timeout_s:g} s") from error
        raise
    try:
        return plan.codec.encode(answer)
    except (TypeError, ValueError) as error:
        raise _unwritable(answer, error) from error


def _gives_up(backoff: Backoff, error: Exception, attempts: int) -> bool:
    try:
        return backoff.gives_up(error, attempts)
    except Exception:  # the program's own function of the error
        logger.exception("the retry policy could not judge %r; the number of retries decides", error)
        return backoff.retries is not None and attempts > backoff.retries


def _unwritable(result: object, error: Exception) -> UserCodeError:
    return UserCodeError(
        f"the result of a call cannot be recorded: {type(result).__name__}: {error}",
        hint="return a msgspec.Struct, a dataclass or builtin types, and annotate the function with it",
    )
