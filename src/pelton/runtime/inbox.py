"""What waits in front of a task: batches in the order of their partition, those of higher priority first."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping

from pelton.batch import TopicPartition
from pelton.runtime.source import SharedBatch
from pelton.runtime.spec import SourceSpec

__all__ = ["Inbox"]


class Inbox:
    """A queue for each priority among the topics that the task reads.

    nbytes: of all that waits.
    """

    def __init__(self, sources: Mapping[str, SourceSpec]) -> None:
        self.nbytes = 0
        self._priorities = {topic: source.priority for topic, source in sources.items()}
        self._queues = {rank: deque[SharedBatch]() for rank in sorted(set(self._priorities.values()), reverse=True)}
        self._bytes: Counter[TopicPartition] = Counter()
        self._ends: dict[TopicPartition, int] = {}

    def __bool__(self) -> bool:
        return any(self._queues.values())

    def append(self, shared: SharedBatch) -> None:
        """Add a batch that follows the last one of its partition."""
        self._count(shared, 1)
        self._ends[shared.batch.source] = shared.batch.next_offset
        self._queues[self._priorities[shared.batch.topic]].append(shared)

    def put_back(self, shared: SharedBatch) -> None:
        """Put a batch first in its queue again; it is not done."""
        self._count(shared, 1)
        self._queues[self._priorities[shared.batch.topic]].appendleft(shared)

    def take(self) -> SharedBatch:
        """Take the batch that is next. Raises: StopIteration when none waits."""
        shared = next(queue for queue in self._queues.values() if queue).popleft()
        self._count(shared, -1)
        return shared

    def _count(self, shared: SharedBatch, sign: int) -> None:
        self.nbytes += sign * shared.batch.nbytes
        self._bytes[shared.batch.source] += sign * shared.batch.nbytes

    def clear(self) -> None:
        """Forget all that waits; it is read again."""
        for queue in self._queues.values():
            queue.clear()
        self.nbytes = 0
        self._bytes.clear()
        self._ends.clear()

    def topics(self) -> set[str]:
        """Return the topics of which something waits."""
        return {shared.batch.topic for queue in self._queues.values() for shared in queue}

    def bytes_of(self, source: TopicPartition) -> int:
        """Return what waits of one partition."""
        return self._bytes[source]

    def end(self, source: TopicPartition) -> int:
        """Return the offset behind what came of a partition; 0 when nothing did."""
        return self._ends.get(source, 0)

    def rank(self, topic: str | None = None) -> int | None:
        """Return the priority of a topic, or the highest that waits; None when none does."""
        if topic is not None:
            return self._priorities[topic]
        return next((rank for rank, queue in self._queues.items() if queue), None)

    def outranks(self, topic: str) -> bool:
        """Return whether something waits that comes before a topic."""
        if len(self._queues) == 1:
            return False
        rank = self.rank()
        return rank is not None and rank > self._priorities[topic]
