"""The requests that make up a transaction, each sent until the coordinator has done it, or refuses.

What they are good for, and in which order they go, is in `transaction.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pelton.batch import TopicPartition
from pelton.errors import UnavailableError
from pelton.killpoints import step
from pelton.log.contract import Position
from pelton.log.kafka.aio import (
    AddOffsetsToTxnRequest,
    AddPartitionsToTxnRequest,
    EndTxnRequest,
    KafkaError,
    TxnOffsetCommitRequest,
)
from pelton.log.kafka.cluster import GROUP, TRANSACTION, Again, Cluster, check
from pelton.log.kafka.producer import Producer

__all__ = ["Membership", "TransactionRequests"]


@dataclass(frozen=True, slots=True)
class Membership:
    """Who commits: a member of one generation of a group."""

    group_id: str
    generation: int
    member_id: str
    instance_id: str | None


class TransactionRequests:
    """Sends what the coordinators are to know of a producer's transaction."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    @step("begin")
    async def add_offsets(self, producer: Producer, group_id: str) -> None:
        """Say that the transaction will hold positions of a group."""
        doing = f"add positions of group {group_id!r} to the transaction"

        async def add() -> None:
            request = AddOffsetsToTxnRequest(producer.name, producer.id, producer.epoch, group_id)
            answer = await self._cluster.to_coordinator(TRANSACTION, producer.name, request)
            check(answer.error_code, doing)

        await self._cluster.retry(add, doing)

    async def add_partitions(self, producer: Producer, partitions: Iterable[TopicPartition]) -> None:
        """Say which partitions the transaction will write to; one that is named again is no matter."""
        topics: dict[str, list[int]] = {}
        for topic, number in sorted(partitions):
            topics.setdefault(topic, []).append(number)
        doing = "add partitions to the transaction"

        async def add() -> None:
            request = AddPartitionsToTxnRequest(producer.name, producer.id, producer.epoch, list(topics.items()))
            answer = await self._cluster.to_coordinator(TRANSACTION, producer.name, request)
            _check_partitions(answer.errors, doing)

        if topics:
            await self._cluster.retry(add, doing)

    @step("offsets")
    async def commit_offsets(
        self, producer: Producer, positions: Mapping[TopicPartition, Position], member: Membership
    ) -> None:
        """Put a group's positions into the transaction. Raises: FencedError when the member is of an old generation."""
        doing = f"commit positions of group {member.group_id!r}"

        async def commit() -> None:
            request = TxnOffsetCommitRequest(
                producer.name,
                member.group_id,
                producer.id,
                producer.epoch,
                member.generation,
                member.member_id,
                member.instance_id,
                _offset_entries(positions),
                {},
            )
            answer = await self._cluster.to_coordinator(GROUP, member.group_id, request)
            _check_partitions(((topic, [p[:2] for p in parts]) for topic, parts, _ in answer.topics), doing)

        await self._cluster.retry(commit, doing)

    @step("commit")
    async def commit(self, producer: Producer) -> None:
        """Commit. Sent again only when the broker says that it did not act; a lost answer is no reason to guess."""
        doing = "commit the transaction"

        async def end() -> None:
            request = EndTxnRequest(producer.name, producer.id, producer.epoch, True)
            node = await self._cluster.coordinator(TRANSACTION, producer.name)
            try:
                answer = await self._cluster.send(node, request, "coordinator")
            except KafkaError as error:
                raise UnavailableError(
                    f"could not learn whether a transaction was committed: {type(error).__name__}",
                    hint="processing goes on from the committed positions",
                ) from error
            check(answer.error_code, doing)

        await self._cluster.retry(end, doing)


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
