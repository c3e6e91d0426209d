"""Reading one partition outside of any group, front to back, one request ahead of the reader."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Iterator, Sequence
from typing import Any, NamedTuple

from pelton.batch import RecordBatch, TopicPartition
from pelton.errors import OffsetOutOfRangeError, UnavailableError
from pelton.log.kafka.aio import FetchRequest, KafkaError
from pelton.log.kafka.cluster import Cluster, check
from pelton.log.kafka.codes import Code
from pelton.log.kafka.columns import Unpacker

__all__ = ["READ_COMMITTED", "WAIT_MS_MAX", "PartitionReader", "fetched_partitions"]

READ_COMMITTED = 1
#: How long a broker may hold an answer back when there is nothing new; also how long a seek waits behind it.
WAIT_MS_MAX = 200


class PartitionReader:
    """Sequential reads of one partition; a read that goes on where the last one ended finds its data already here."""

    def __init__(self, cluster: Cluster, source: TopicPartition, lane: Hashable) -> None:
        self.source = source
        self._cluster = cluster
        # A broker answers one request of a connection after the other. Whoever waits at an end for what comes next, as
        # a global table does, must not hold up a restore, each read of which would take WAIT_MS_MAX or more behind it.
        self._lane, self._waiting_lane = ("read", lane), ("wait", lane)
        self._lock = asyncio.Lock()
        self._unpacker: Unpacker | None = None
        self._ahead: asyncio.Task[Unpacker] | None = None
        self._position = -1
        #: The last stable offset, as last heard.
        self._end = -1

    def close(self) -> None:
        """Give up what was read ahead."""
        self._unpacker = None
        if self._ahead is not None:
            self._ahead.cancel()
            self._ahead = None

    async def read(self, offset: int, *, bytes_max: int, timeout_s: float) -> RecordBatch:
        """Return the records from an offset on; empty when none came in time.

        Raises: OffsetOutOfRangeError, UnavailableError.
        """
        async with self._lock:
            if offset != self._position:
                self.close()
                self._position = offset
            if self._unpacker is None:
                self._unpacker = await self._next(bytes_max, timeout_s)
            if self._unpacker is None:
                return RecordBatch(self.source.topic, self.source.partition, (), [], [], [], offset)
            batch = self._unpacker.take(bytes_max)
            self._position = batch.next_offset
            if self._unpacker.exhausted:
                self._unpacker = None
                # At the end there is nothing to be ahead of.
                if batch.next_offset < self._end:
                    self._ahead = asyncio.create_task(self._fetch(batch.next_offset, bytes_max))
            return batch

    async def _next(self, bytes_max: int, timeout_s: float) -> Unpacker | None:
        """Return the next non-empty answer, or None when none came in time; a request under way stays so."""
        deadline = self._cluster.clock.monotonic() + timeout_s
        while True:
            if self._ahead is None:
                self._ahead = asyncio.create_task(self._fetch(self._position, bytes_max))
            ahead = self._ahead
            remaining = deadline - self._cluster.clock.monotonic()
            await asyncio.wait({ahead}, timeout=max(0.0, remaining))
            if not ahead.done():
                return None
            self._ahead = None
            if ahead.cancelled():
                continue  # `close` came between: ask anew, which fails if it is the log that was closed
            unpacker = ahead.result()
            if not unpacker.exhausted:
                return unpacker
            if remaining <= 0:
                return None

    async def _fetch(self, offset: int, bytes_max: int) -> Unpacker:
        """Ask the leader for records from an offset on; the answer is empty after WAIT_MS_MAX without any."""
        topic, number = self.source
        request = FetchRequest(
            WAIT_MS_MAX, 1, bytes_max, READ_COMMITTED, [(topic, [(number, offset, bytes_max)])], rack_id=""
        )

        async def attempt() -> Unpacker:
            lane = self._waiting_lane if 0 <= self._end <= offset else self._lane
            answer = await self._cluster.send(self._cluster.leader(self.source), request, lane)
            ((_, fetched),) = fetched_partitions(answer)
            self._end = fetched.end
            return fetched.unpacker(self.source, offset)

        return await self._cluster.retry(attempt, f"read {self.source}")


class Fetched(NamedTuple):
    """One partition's part of a broker's answer: an error code, the last stable offset, and record batches."""

    code: int
    end: int
    aborted: Sequence[tuple[int, int]] | None
    data: bytes

    def unpacker(self, source: TopicPartition, offset: int) -> Unpacker:
        """Return its records from an offset on.

        Raises: OffsetOutOfRangeError, Again, what the code stands for; UnavailableError for what is no records.
        """
        if self.code == Code.OFFSET_OUT_OF_RANGE:
            raise out_of_range(source, offset)
        check(self.code, f"read {source}", source)
        try:
            return Unpacker(source, self.data, self.aborted, offset)
        except KafkaError as error:  # asked again without a word, the same answer would come for ever
            raise UnavailableError(
                f"could not read {source} at offset {offset}: what the broker sent is no batch of records ({error})",
                hint="is the broker's disk damaged? another replica may have it whole",
                topic=source.topic,
                partition=source.partition,
                offset=offset,
            ) from error


def fetched_partitions(answer: Any) -> Iterator[tuple[TopicPartition, Fetched]]:
    """Take an answer to a fetch (version 11, which every broker since 2.3 speaks) apart."""
    for topic, entries in answer.topics:
        for number, code, _, end, _, aborted, _, data in entries:
            yield TopicPartition(topic, number), Fetched(code, end, aborted, data or b"")


def out_of_range(source: TopicPartition, offset: int) -> OffsetOutOfRangeError:
    """Return the error for an offset that the partition does not hold."""
    return OffsetOutOfRangeError(
        f"could not read {source} at offset {offset}: the log does not hold it",
        hint="the topic was trimmed, or deleted and made again",
        topic=source.topic,
        partition=source.partition,
        offset=offset,
    )
