"""Writing whole batches, each exactly once, whatever the retries.

This drives Kafka's requests itself instead of aiokafka's producer, which hands each record batch through a sender
task with its own waits (20-100 ms after a passing trouble) and cannot fence by generation. One request is in flight per
partition; while the broker works on it the next one is encoded.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine, Iterator, Sequence, Set
from typing import Any, NamedTuple, TypeVar

from pelton.batch import OutgoingBatch, TopicPartition
from pelton.errors import UnavailableError
from pelton.killpoints import step
from pelton.log.kafka.aio import InitProducerIdRequest, KafkaError, ProduceRequest
from pelton.log.kafka.cluster import BACKOFF_FIRST_S, BACKOFF_LAST_S, PATIENCE_S, TRANSACTION, Again, Cluster, check
from pelton.log.kafka.codes import MOVED, RETRIABLE, Code, error_for, name_of
from pelton.log.kafka.encoding import BATCH_BYTES_MAX, chunks, seal

__all__ = ["Producer"]

T = TypeVar("T")

#: How much one round of requests may carry; bounds the memory of a commit of any size.
ROUND_BYTES_MAX = 8 * 1024 * 1024
_ALL_REPLICAS = -1
_REQUEST_TIMEOUT_MS = 30_000
_SEQUENCES = 2**31


class _Sealed(NamedTuple):
    """A sealed record batch on its way; place and row say which outgoing row it begins with."""

    place: int
    row: int
    data: bytes


_Round = dict[TopicPartition, _Sealed]


class Producer:
    """An idempotent producer (KIP-98), transactional when it has a name.

    `produce` must not be called twice at a time. After any error the producer must be initialised again: what
    happened to the batches in flight is unknown, and so are the sequence numbers.
    """

    def __init__(
        self, cluster: Cluster, *, transactional_id: str | None = None, transaction_timeout_ms: int = 15_000
    ) -> None:
        self.transactional_id = transactional_id
        self.id = -1
        self.epoch = -1
        self.records = 0
        self.bytes = 0
        self._cluster = cluster
        self._transaction_timeout_ms = transaction_timeout_ms
        self._sequences: dict[TopicPartition, int] = {}

    @property
    def name(self) -> str:
        """Its transactional id; only of one that has one."""
        assert self.transactional_id is not None
        return self.transactional_id

    @property
    def ready(self) -> bool:
        """Whether `produce` may be called."""
        return self.id >= 0

    def reset(self) -> None:
        """Forget the producer id; nothing more can be sent under it."""
        self.id = self.epoch = -1
        self._sequences.clear()

    async def initialise(self, *, patience_s: float = PATIENCE_S) -> None:
        """Get a producer id; with a name, fence its earlier holder and abort what that left open.

        Raises: UnavailableError, ConfigurationError.
        """
        self.reset()
        await self._cluster.retry(self._initialise, "become a producer", patience_s=patience_s)

    async def _initialise(self) -> None:
        request = InitProducerIdRequest(self.transactional_id, self._transaction_timeout_ms)
        if self.transactional_id is None:
            answer = await self._cluster.send(self._cluster.any_node(), request, "produce")
        else:
            answer = await self._cluster.to_coordinator(TRANSACTION, self.transactional_id, request)
        check(answer.error_code, "become a producer")
        self.id, self.epoch = answer.producer_id, answer.producer_epoch

    async def produce(self, batches: Sequence[OutgoingBatch]) -> list[int]:
        """Write the batches, in order for each partition; return the offset of each one's first record (-1 when empty).

        Raises: UnavailableError, FencedError; RecordRefusedError for what a topic does not take.
        """
        bases = [-1] * len(batches)
        in_flight: asyncio.Task[None] | None = None
        try:
            for round_ in self._rounds(batches):
                if in_flight is not None:
                    await in_flight
                in_flight = asyncio.create_task(self._deliver(round_, bases))
                await asyncio.sleep(0)  # lets the request leave before the next round is encoded
            if in_flight is not None:
                await in_flight
        finally:
            if in_flight is not None and not in_flight.done():
                in_flight.cancel()
                await asyncio.gather(in_flight, return_exceptions=True)
        self.records += sum(map(len, batches))
        return bases

    def _rounds(self, batches: Sequence[OutgoingBatch]) -> Iterator[_Round]:
        """Seal the batches in rounds: at most one record batch a partition, since a request takes no more."""
        partitions: dict[TopicPartition, list[int]] = {}
        for index, batch in enumerate(batches):
            partitions.setdefault(TopicPartition(batch.topic, batch.partition), []).append(index)
        waiting = deque((partition, self._sealed(batches, partition, rows)) for partition, rows in partitions.items())
        round_: _Round = {}
        while waiting:
            partition, sealed = waiting[0]
            if round_ and (partition in round_ or sum(len(s.data) for s in round_.values()) >= ROUND_BYTES_MAX):
                yield round_
                round_ = {}
            waiting.popleft()
            following = next(sealed, None)
            if following is not None:
                round_[partition] = following
                waiting.append((partition, sealed))
        if round_:
            yield round_

    def _sealed(
        self, batches: Sequence[OutgoingBatch], partition: TopicPartition, indices: Sequence[int]
    ) -> Iterator[_Sealed]:
        """Seal the batches of one partition, numbering their records."""
        for index in indices:
            bytes_max = min(BATCH_BYTES_MAX, self._cluster.batch_bytes_max.get(partition.topic, BATCH_BYTES_MAX))
            for chunk in chunks(batches[index], transactional=self.transactional_id is not None, bytes_max=bytes_max):
                sequence = self._sequences.get(partition, 0)
                self._sequences[partition] = (sequence + chunk.records) % _SEQUENCES
                yield _Sealed(index, chunk.row, seal(chunk, self.id, self.epoch, sequence))

    @step("produce")
    async def _deliver(self, round_: _Round, bases: list[int]) -> None:
        """Send a round until every batch is acknowledged; a repeated batch is recognised by its sequence number."""
        clock = self._cluster.clock
        deadline = clock.monotonic() + PATIENCE_S
        backoff = BACKOFF_FIRST_S
        pending = dict(round_)
        while True:
            trouble = await self._attempt(pending, bases)
            if not pending:
                return
            if clock.monotonic() >= deadline:
                raise UnavailableError(f"could not write to {', '.join(map(str, pending))}: {trouble}")
            if trouble is not None and trouble.moved:
                await self._cluster.refresh()
            self._cluster.retries += 1
            await clock.sleep(backoff)
            backoff = min(2 * backoff, BACKOFF_LAST_S)

    async def _attempt(self, pending: _Round, bases: list[int]) -> Again | None:
        """Send what is pending, take what was acknowledged out of it, and return the last passing trouble."""
        try:
            by_leader = self._cluster.by_leader(pending)
        except Again as trouble:
            return trouble
        requests = [self._send(node, {p: pending[p] for p in led}, pending, bases) for node, led in by_leader.items()]
        troubles = await _all_of(requests)
        return next((trouble for trouble in troubles if trouble is not None), None)

    async def _send(self, node: int, part: _Round, pending: _Round, bases: list[int]) -> Again | None:
        topics: dict[str, list[tuple[int, bytes]]] = {}
        for (topic, number), sealed in part.items():
            topics.setdefault(topic, []).append((number, sealed.data))
        request = ProduceRequest(self.transactional_id, _ALL_REPLICAS, _REQUEST_TIMEOUT_MS, list(topics.items()))
        try:
            answer = await self._cluster.send(node, request, "produce")
        except KafkaError as error:
            return Again(type(error).__name__, moved=True)
        trouble: Again | None = None
        for topic, partitions in answer.topics:
            for number, code, base, *_ in partitions:
                partition = TopicPartition(topic, number)
                if code in RETRIABLE:
                    trouble = Again(name_of(code), moved=code in MOVED)
                    continue
                if code != Code.NONE:
                    raise error_for(code, f"write to {partition}", partition)
                sealed = pending.pop(partition)
                self.bytes += len(sealed.data)
                if sealed.row == 0:
                    bases[sealed.place] = base
        return trouble


async def _all_of(requests: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Await all, also when one fails: whoever aborts then must not be overtaken by what is still on its way.

    Raises: what the first of those that failed raised.
    """
    tasks = [asyncio.create_task(request) for request in requests]
    try:
        await asyncio.wait(tasks)
    except asyncio.CancelledError:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
    errors = [task.exception() for task in tasks]  # of all, or asyncio would miss somebody who looks at the others
    for error in errors:
        if error is not None:
            raise error
    return [task.result() for task in tasks]


def partitions_of(batches: Sequence[OutgoingBatch]) -> Set[TopicPartition]:
    """Return the partitions that the batches write to, without those of empty ones."""
    return {TopicPartition(batch.topic, batch.partition) for batch in batches if len(batch)}
