"""One transaction: records and positions become visible together, fenced by the group's generation (KIP-447).

    AddPartitionsToTxn ── Produce ───────────┐
                                             ├── EndTxn
    AddOffsetsToTxn ───── TxnOffsetCommit ───┘

The two rows run at the same time. A transaction that begins right after another one meets CONCURRENT_TRANSACTIONS
until the broker has written the markers of the former: a wait of 1-3 ms, so the first retry comes after one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pelton.batch import OutgoingBatch, TopicPartition
from pelton.errors import PeltonError, UnavailableError
from pelton.log.contract import Position
from pelton.log.kafka.aio import (
    AddOffsetsToTxnRequest,
    AddPartitionsToTxnRequest,
    EndTxnRequest,
    KafkaError,
    TxnOffsetCommitRequest,
)
from pelton.log.kafka.cluster import GROUP, TRANSACTION, Again, Cluster, check
from pelton.log.kafka.codes import ProducerFenced
from pelton.log.kafka.producer import Producer, partitions_of

__all__ = ["Membership", "Transactions"]

log = logging.getLogger(__name__)

#: How long a failed commit may try to abort before it leaves that to the next one, or to the broker's timeout.
_ABORT_PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True)
class Membership:
    """Who commits: a member of one generation of a group."""

    group_id: str
    generation: int
    member_id: str
    instance_id: str | None


class Transactions:
    """The transactional producer of one worker: one transaction at a time.

    fenced: whether another producer took the name, or the broker gave a transaction up. Every commit is refused from
        then on, because to begin anew would take the name back: the owner clears it once the group says that this is
        still a member.
    """

    def __init__(self, cluster: Cluster, producer: Producer) -> None:
        self.producer = producer
        self.fenced = False
        self.committed = 0
        self.failed = 0
        self._cluster = cluster

    @property
    def _id(self) -> str:
        assert self.producer.transactional_id is not None
        return self.producer.transactional_id

    async def commit(
        self, writes: Sequence[OutgoingBatch], positions: Mapping[TopicPartition, Position], member: Membership
    ) -> list[int]:
        """Commit the records and the positions together; return each batch's first offset.

        After any error nothing of it is visible, unless the answer to EndTxn was lost: then the outcome is unknown
        until the next commit, or the broker's timeout, has settled it.
        Raises: FencedError, UnavailableError, ConfigurationError.
        """
        if self.fenced:
            raise ProducerFenced(f"could not commit: {self._id!r} was fenced, and the group has not answered yet")
        if not self.producer.ready:
            await self.producer.initialise()
        if not positions and not any(map(len, writes)):
            return [-1] * len(writes)
        try:
            bases = await self._run(writes, positions, member)
        except (asyncio.CancelledError, ProducerFenced) as error:
            self.fenced = isinstance(error, ProducerFenced)
            self.producer.reset()
            raise
        except (PeltonError, KafkaError) as error:
            self.failed += 1
            await self._give_up()
            if isinstance(error, PeltonError):
                raise
            raise UnavailableError(f"could not commit: {type(error).__name__}") from error
        self.committed += 1
        return bases

    async def _run(
        self, writes: Sequence[OutgoingBatch], positions: Mapping[TopicPartition, Position], member: Membership
    ) -> list[int]:
        bases, _ = await _together(self._write(writes), self._position(positions, member))
        await self._end()
        return bases

    async def _give_up(self) -> None:
        """Abort by becoming a new producer, which also settles a commit whose answer was lost."""
        try:
            await self.producer.initialise(patience_s=_ABORT_PATIENCE_S)
        except PeltonError as error:
            self.producer.reset()
            log.warning("could not abort a transaction yet, the next commit will: %s", error.message)

    async def _write(self, writes: Sequence[OutgoingBatch]) -> list[int]:
        topics = partitions_of(writes)
        if not topics:
            return [-1] * len(writes)
        doing = "add partitions to the transaction"

        async def add() -> None:
            request = AddPartitionsToTxnRequest(self._id, self.producer.id, self.producer.epoch, list(topics.items()))
            answer = await self._cluster.to_coordinator(TRANSACTION, self._id, request)
            _check_partitions(answer.errors, doing)

        await self._cluster.retry(add, doing)
        return await self.producer.produce(writes)

    async def _position(self, positions: Mapping[TopicPartition, Position], member: Membership) -> None:
        if not positions:
            return
        doing = f"commit positions of group {member.group_id!r}"

        async def add() -> None:
            request = AddOffsetsToTxnRequest(self._id, self.producer.id, self.producer.epoch, member.group_id)
            answer = await self._cluster.to_coordinator(TRANSACTION, self._id, request)
            check(answer.error_code, doing)

        async def commit() -> None:
            request = TxnOffsetCommitRequest(
                self._id,
                member.group_id,
                self.producer.id,
                self.producer.epoch,
                member.generation,
                member.member_id,
                member.instance_id,
                _offset_entries(positions),
                {},
            )
            answer = await self._cluster.to_coordinator(GROUP, member.group_id, request)
            _check_partitions(((topic, [p[:2] for p in parts]) for topic, parts, _ in answer.topics), doing)

        await self._cluster.retry(add, doing)
        await self._cluster.retry(commit, doing)

    async def _end(self) -> None:
        """Commit. Sent again only when the broker says that it did not act; a lost answer is no reason to guess."""

        async def end() -> None:
            request = EndTxnRequest(self._id, self.producer.id, self.producer.epoch, True)
            node = await self._cluster.coordinator(TRANSACTION, self._id)
            try:
                answer = await self._cluster.send(node, request, "coordinator")
            except KafkaError as error:
                raise UnavailableError(
                    f"could not learn whether a transaction was committed: {type(error).__name__}",
                    hint="processing goes on from the committed positions",
                ) from error
            check(answer.error_code, "commit the transaction")

        await self._cluster.retry(end, "commit the transaction")


async def _together(first: Coroutine[Any, Any, list[int]], second: Coroutine[Any, Any, None]) -> tuple[list[int], None]:
    """Await both; when one fails, end the other before raising, so that nothing is sent behind an abort."""
    tasks = (asyncio.create_task(first), asyncio.create_task(second))
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


def _offset_entries(positions: Mapping[TopicPartition, Position]) -> list[Any]:
    """Return the positions as TxnOffsetCommit wants them: by topic, with leader epoch -1 (unknown) and no tags."""
    topics: dict[str, list[Any]] = {}
    for (topic, number), position in positions.items():
        topics.setdefault(topic, []).append((number, position.offset, -1, position.metadata, {}))
    return [(topic, entries, {}) for topic, entries in topics.items()]


def _check_partitions(topics: Any, doing: str) -> None:
    """Raise for the worst answer of any partition: a refusal before a passing trouble."""
    trouble: Again | None = None
    for topic, partitions in topics:
        for number, code in partitions:
            try:
                check(code, doing, TopicPartition(topic, number))
            except Again as again:
                trouble = again
    if trouble is not None:
        raise trouble
