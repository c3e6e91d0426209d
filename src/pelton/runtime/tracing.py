"""What the engine tells of its work where traces are kept (`pelton.tracing`); it asks nobody where they are not.

Nothing is told per record: a task tells of the slices it hands out, and a worker of its commits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from pelton.batch import OutgoingBatch, RecordBatch
from pelton.stream.lane import Accepts, Chunk, Lane, Outbox

__all__ = ["CommitTrace", "TaskTrace", "Tracing"]


class TaskTrace(Protocol):
    """What becomes of the events of one task."""

    def lane(self, partition: int, index: int, outbox: Outbox, accepts: Accepts | None) -> Lane:
        """Return a lane of the task, which says in what it sends of which trace that is."""
        ...

    def piece(self, lane: Lane, batch: RecordBatch, rows: Sequence[int]) -> int:
        """Return how many of the first rows go together: an event with a span of its own goes alone.

        lane: the one that they are for.
        """
        ...

    def begin(self, lane: Lane, chunk: Chunk, *, singly: bool = False) -> None:
        """Say that a lane begins with rows. singly: each of them comes to its end by itself, when it is released."""
        ...

    def done(self, lane: Lane) -> None:
        """Say that a lane has come to the end of all it had."""
        ...

    def failed(self, lane: Lane, error: Exception) -> None:
        """Say that what a lane was at has failed; it comes again, or is given up."""
        ...

    def call(self, chunk: Chunk, name: str, spawn: Callable[[], asyncio.Task[None]]) -> asyncio.Task[None]:
        """Begin work that is done for a row beside its lane: a call to the outside."""
        ...

    def given_up(self, batch: RecordBatch, row: int, error: Exception) -> None:
        """Say that a record is dead-lettered."""
        ...


class CommitTrace(Protocol):
    """One commit, from when it begins."""

    def published(self, outputs: Sequence[OutgoingBatch]) -> None:
        """Say that what the agents sent is durable."""
        ...

    def done(self, events: int) -> None:
        """Say that the commit is made. events: how many are complete with it."""
        ...

    def failed(self, error: BaseException) -> None:
        """Say that it was not."""
        ...


class Tracing(Protocol):
    """Where a worker's spans go."""

    def task(self, agent: str) -> TaskTrace:
        """Return what a task of an agent tells."""
        ...

    def commit(self) -> CommitTrace:
        """Begin to tell of a commit."""
        ...
