"""One transaction: records and positions become visible together, fenced by the group's generation (KIP-447).

                       ┌── TxnOffsetCommit ────────────────┐
    AddOffsetsToTxn ───┤                                   ├── EndTxn
                       └── AddPartitionsToTxn ── Produce ──┘

The two branches run at the same time. The two additions do not: the coordinator takes one at a time and refuses the
other with CONCURRENT_TRANSACTIONS. It refuses a transaction for the same reason while it still writes the markers of
the one before, so two producers take turns.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

from pelton.batch import OutgoingBatch, TopicPartition
from pelton.errors import PeltonError, UnavailableError
from pelton.log.contract import Position
from pelton.log.kafka.aio import KafkaError
from pelton.log.kafka.cluster import Cluster
from pelton.log.kafka.codes import ProducerFenced
from pelton.log.kafka.producer import Producer, partitions_of
from pelton.log.kafka.transaction_requests import Membership, TransactionRequests

__all__ = ["Membership", "Transactions"]

log = logging.getLogger(__name__)

#: How long a failed commit may try to abort before it leaves that to the next one, or to the broker's timeout.
_ABORT_PATIENCE_S = 5.0


class Transactions:
    """The transactions of one worker: one at a time.

    producers: they take turns. One that failed goes on until it succeeds, so that no transaction of it is left open.
    fenced: whether another producer took a name, or the broker gave a transaction up. Every commit is refused from
        then on, because to begin anew would take the name back: the owner clears it once the group says that this is
        still a member.
    """

    def __init__(self, cluster: Cluster, producers: Sequence[Producer]) -> None:
        self.fenced = False
        self.committed = 0
        self.failed = 0
        self._cluster = cluster
        self._turns = deque(producers)
        self._requests = TransactionRequests(cluster)

    @property
    def producer(self) -> Producer:
        """The one whose turn it is."""
        return self._turns[0]

    async def commit(
        self, writes: Sequence[OutgoingBatch], positions: Mapping[TopicPartition, Position], member: Membership
    ) -> list[int]:
        """Commit the records and the positions together; return each batch's first offset.

        After any error nothing of it is visible, unless the answer to EndTxn was lost: then the outcome is unknown
        until the next commit, or the broker's timeout, has settled it.
        Raises: FencedError, UnavailableError, ConfigurationError.
        """
        if self.fenced:
            raise ProducerFenced(f"could not commit: {self.producer.name!r} was fenced, and the group is yet to answer")
        if not self.producer.ready:
            await self.producer.initialise()
        if not positions and not any(map(len, writes)):
            return [-1] * len(writes)
        try:
            bases = await self._run(writes, positions, member)
        except (asyncio.CancelledError, ProducerFenced) as error:
            self.fenced = isinstance(error, ProducerFenced)
            for producer in self._turns:
                producer.reset()
            raise
        except (PeltonError, KafkaError) as error:
            self.failed += 1
            await self._give_up()
            if isinstance(error, PeltonError):
                raise
            raise UnavailableError(f"could not commit: {type(error).__name__}") from error
        self.committed += 1
        self._turns.rotate()
        return bases

    async def _run(
        self, writes: Sequence[OutgoingBatch], positions: Mapping[TopicPartition, Position], member: Membership
    ) -> list[int]:
        if positions:
            await self._requests.add_offsets(self.producer, member.group_id)
        # The positions go first: they are on their way while the records are encoded.
        _, bases = await _together(self._position(positions, member), self._write(writes))
        await self._requests.commit(self.producer)
        return bases

    async def _give_up(self) -> None:
        """Abort by becoming a new producer, which also settles a commit whose answer was lost."""
        try:
            await self.producer.initialise(patience_s=_ABORT_PATIENCE_S)
        except PeltonError as error:
            self.producer.reset()
            log.warning("could not abort a transaction yet, the next commit will: %s", error.message)

    async def _write(self, writes: Sequence[OutgoingBatch]) -> list[int]:
        partitions = partitions_of(writes)
        if not partitions:
            return [-1] * len(writes)
        await self._requests.add_partitions(self.producer, partitions)
        return await self.producer.produce(writes)

    async def _position(self, positions: Mapping[TopicPartition, Position], member: Membership) -> None:
        if positions:
            await self._requests.commit_offsets(self.producer, positions, member)


async def _together(first: Coroutine[Any, Any, None], second: Coroutine[Any, Any, list[int]]) -> tuple[None, list[int]]:
    """Await both; when one fails, end the other before raising, so that nothing is sent behind an abort."""
    tasks = (asyncio.create_task(first), asyncio.create_task(second))
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
