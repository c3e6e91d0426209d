"""The end of a task's coroutines, where they do not end by themselves."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

__all__ = ["cancel"]

logger = logging.getLogger(__name__)

#: How long a cancelled lane may take to clean up, in seconds, and one that swallowed its cancellation the second time.
_PATIENCES_S = (5.0, 1.0)


async def cancel(tasks: Iterable[asyncio.Task[None]], agent: str) -> None:
    """Cancel lanes, again when code swallows it; what ignores that too is left behind, or nothing would end."""
    pending = {task for task in tasks if not task.done()}
    for patience_s in _PATIENCES_S:
        for task in pending:
            task.cancel()
        if pending:
            _, pending = await asyncio.wait(pending, timeout=patience_s)
    if pending:
        logger.error(
            "agent %s swallows its cancellation: %d of its coroutines are left behind, their events undone",
            agent,
            len(pending),
        )
