"""Reading a member's partitions, ahead of the engine: a long poll to every broker is open at all times.

aiokafka's fetcher asks again for a partition only when its buffered records have been taken, and has by then opened
the next long poll without it: a record that comes a moment later waits until that poll ends (108 ms in the middle, at
1,000 records a second to one of four partitions). Here a poll asks for what lies behind the buffered records, so that
whatever comes next ends it. Buffers are bounded; a partition whose buffer is full is left out of the polls.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pelton.batch import RecordBatch, TopicPartition
from pelton.errors import PeltonError
from pelton.log.kafka.aio import FetchRequest, KafkaError
from pelton.log.kafka.cluster import Again, Cluster
from pelton.log.kafka.columns import Unpacker
from pelton.log.kafka.reader import READ_COMMITTED, WAIT_MS_MAX, fetched_partitions

__all__ = ["Fetcher"]

#: A partition that is resumed, or taken over, while a poll is open need not wait for its end: it gets the other lane.
_LANES = 2
_PARTITION_BYTES_MIN = 64 * 1024
_RETRY_S = 0.05
#: What one `take` unpacks at most, and the rest of its last record batch: the event loop stands still meanwhile.
#: Measured on two slow cores: 16 MiB took 29 ms in records of 100 kB, 0.5 s in those of 100 bytes, 5.5 s in those of 10
_TAKE_ROWS_MAX = 8_192
_TAKE_BYTES_MAX = 4 * 1024 * 1024
#: A position that is not known yet.
_UNKNOWN = -1
#: Nobody asks for the silence less often, unless the process stood still as a whole.
_LOOK_S_MAX = 1.0


@dataclass(slots=True)
class _Partition:
    """One partition: position <= what is buffered < ahead.

    position: the next offset to hand out, _UNKNOWN before it is placed. ahead: the next offset to ask for.
    end: the last stable offset, as last heard.
    polled: whether an open poll asks for it.
    """

    position: int
    ahead: int
    end: int | None = None
    paused: bool = False
    polled: bool = False
    buffered: deque[tuple[Unpacker, int]] = field(default_factory=deque[tuple[Unpacker, int]])
    nbytes: int = 0
    error: PeltonError | None = None

    def rewind(self, offset: int) -> None:
        """Forget what is buffered and begin again at an offset."""
        self.position = self.ahead = offset
        self.buffered.clear()
        self.nbytes = 0
        self.error = None


class Fetcher:
    """The partitions of one member, their positions, and what was fetched ahead of them.

    news: set when there is something to take.
    bytes_max: about the most that is buffered, beside one answer of each broker.
    """

    def __init__(self, cluster: Cluster, news: asyncio.Event, bytes_max: int) -> None:
        self.records = 0
        self.bytes = 0
        self._cluster = cluster
        self._news = news
        self._bytes_max = bytes_max
        self._partition_bytes_max = max(1024 * 1024, bytes_max // 4)
        self._partitions: dict[TopicPartition, _Partition] = {}
        self._polls: dict[tuple[int, int], asyncio.Task[None]] = {}
        self._looking: asyncio.Task[None] | None = None
        self._turn = 0
        self._taken_last: TopicPartition | None = None
        self._silent_s = 0.0
        self._looked_s = 0.0
        self._failure: BaseException | None = None

    def assign(self, positions: Mapping[TopicPartition, int | None]) -> None:
        """Read these partitions from these offsets, and no others; one without waits to be placed, or sought."""
        starts = {partition: _UNKNOWN if offset is None else offset for partition, offset in positions.items()}
        self._partitions = {partition: _Partition(offset, offset) for partition, offset in starts.items()}
        self._heard()
        self._poll_idle()

    def place(self, partition: TopicPartition, offset: int) -> None:
        """Read a partition from an offset, unless it has been sought meanwhile."""
        for state in self._states([partition]):
            if state.position == _UNKNOWN:
                state.rewind(offset)
        self._poll_idle()

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        """Hand out no more of these partitions; what is buffered is kept."""
        for state in self._states(partitions):
            state.paused = True

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        """Hand out these partitions again."""
        for state in self._states(partitions):
            state.paused = False
        self._news.set()
        self._poll_idle()

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Go on from another offset."""
        for state in self._states([partition]):
            if state.position != offset or state.error is not None:
                state.rewind(offset)
        self._poll_idle()

    def lag(self) -> Mapping[TopicPartition, int]:
        """Return how far each position is behind the last stable offset, as last heard."""
        return {p: max(0, s.end - s.position) for p, s in self._partitions.items() if s.end is not None}

    def _heard(self) -> None:
        self._silent_s, self._looked_s = 0.0, self._cluster.clock.monotonic()

    def silent_s(self) -> float:
        """Return for how long no broker has answered, although there is something to ask for; 0 when there is not.

        Counted from call to call: a process, or a machine, that stood still for an hour has heard nobody meanwhile, and
        that is no silence of the brokers.
        """
        if all(state.paused or state.position == _UNKNOWN for state in self._partitions.values()):
            self._heard()
        now = self._cluster.clock.monotonic()
        self._silent_s += min(now - self._looked_s, _LOOK_S_MAX)
        self._looked_s = now
        return self._silent_s

    def _states(self, partitions: Iterable[TopicPartition]) -> list[_Partition]:
        return [state for partition in partitions if (state := self._partitions.get(partition)) is not None]

    async def close(self) -> None:
        """End all polls. Idempotent."""
        self._partitions = {}
        tasks = [*self._polls.values(), *([self._looking] if self._looking is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- handing out --------------------------------------------------------------------------------------------

    def take(self, bytes_max: int) -> list[RecordBatch]:
        """Return what is buffered, a fair share of each partition that is not paused, and not much at a time.

        Unpacking keeps the event loop to itself. What is left comes with the next call; partitions take turns.
        Raises: OffsetOutOfRangeError, UnavailableError, ConfigurationError: what the broker said of a partition.
        """
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        ready = self._ready()
        batches: list[RecordBatch] = []
        rows, nbytes = _TAKE_ROWS_MAX, min(bytes_max, _TAKE_BYTES_MAX)
        try:
            for partition, state in ready:
                if rows <= 0 or nbytes <= 0:
                    break
                share = max(1, min(nbytes, bytes_max // len(ready)))
                for batch in self._take(partition, state, share, rows, taken=bool(batches)):
                    batches.append(batch)
                    rows, nbytes = rows - len(batch), nbytes - batch.nbytes
                self._taken_last = partition
        finally:
            self._poll_idle()
        return batches

    def _ready(self) -> list[tuple[TopicPartition, _Partition]]:
        """Return the partitions that have something, beginning behind the one that came last."""
        ready = [(p, s) for p, s in self._partitions.items() if not s.paused and (s.buffered or s.error is not None)]
        last = next((at for at, (partition, _) in enumerate(ready) if partition == self._taken_last), -1)
        return ready[last + 1 :] + ready[: last + 1]

    def _take(
        self, partition: TopicPartition, state: _Partition, bytes_max: int, rows_max: int, *, taken: bool
    ) -> list[RecordBatch]:
        """Take one share; an error waits for its turn when other records were taken already."""
        if not state.buffered:
            if taken or state.error is None:
                return []
            error, state.error = state.error, None
            raise error
        unpacker, nbytes = state.buffered[0]
        try:
            batch = unpacker.take(bytes_max, rows_max)
        except PeltonError as error:
            state.rewind(state.position)
            state.error = error
            return self._take(partition, state, bytes_max, rows_max, taken=taken)
        state.position = batch.next_offset
        self.records += len(batch)
        self.bytes += batch.nbytes
        if unpacker.exhausted:
            state.buffered.popleft()
            state.nbytes -= nbytes
        return [batch]

    # -- polling ------------------------------------------------------------------------------------------------

    def _poll_idle(self) -> None:
        """Open a poll for every partition that no open poll asks for and that has room."""
        for node, partitions in self._unpolled().items():
            lane = next((lane for lane in range(_LANES) if (node, lane) not in self._polls), None)
            if lane is not None:
                asked = {partition: self._partitions[partition] for partition in partitions}
                for state in asked.values():
                    state.polled = True
                self._polls[node, lane] = self._begin(self._poll(node, lane, asked))

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do something in the background; what it raises is raised by the next `take`."""

        def done(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and (error := task.exception()) is not None:
                self._failure = error
                self._news.set()

        task = asyncio.create_task(work)
        task.add_done_callback(done)
        return task

    def _unpolled(self) -> Mapping[int, Sequence[TopicPartition]]:
        """Return by leader the partitions to ask for, each time beginning with another one."""
        room = max(_PARTITION_BYTES_MIN, self._bytes_max // max(1, len(self._partitions)))
        wanted = [
            partition
            for partition, state in self._partitions.items()
            if not state.polled
            and not state.paused
            and state.error is None
            and state.nbytes < room
            and state.position != _UNKNOWN
        ]
        if not wanted:
            return {}
        # A broker fills its answer in the order of the request, and only the first gets a record of any size.
        self._turn += 1
        turn = self._turn % len(wanted)
        try:
            return self._cluster.by_leader(wanted[turn:] + wanted[:turn])
        except Again:
            self._look_again()
            return {}

    def _look_again(self) -> None:
        """Ask after a while who leads what."""

        async def look() -> None:
            try:
                await self._cluster.clock.sleep(_RETRY_S)
                await self._cluster.refresh()
            finally:
                self._looking = None
            self._poll_idle()

        if self._looking is None:
            self._looking = self._begin(look())

    async def _poll(self, node: int, lane: int, asked: Mapping[TopicPartition, _Partition]) -> None:
        """Ask a broker for the records of some partitions, wait for its answer and buffer it.

        asked: may be assigned no more, or anew, when the answer comes; what is buffered in them is never taken then.
        """
        offsets = {partition: state.ahead for partition, state in asked.items()}
        try:
            answer = await self._cluster.send(node, self._request(offsets), (self, lane))
            troubled = self._keep(answer, asked, offsets)
        except KafkaError:
            troubled = True
        finally:
            del self._polls[node, lane]
            for state in asked.values():
                state.polled = False
        if troubled:
            self._look_again()
        else:
            self._poll_idle()

    def _request(self, offsets: Mapping[TopicPartition, int]) -> Any:
        topics: dict[str, list[tuple[int, int, int]]] = {}
        for (topic, number), offset in offsets.items():
            topics.setdefault(topic, []).append((number, offset, self._partition_bytes_max))
        return FetchRequest(WAIT_MS_MAX, 1, self._bytes_max, READ_COMMITTED, list(topics.items()), rack_id="")

    def _keep(
        self, answer: Any, asked: Mapping[TopicPartition, _Partition], offsets: Mapping[TopicPartition, int]
    ) -> bool:
        """Buffer an answer; return whether some partition cannot be read just now."""
        self._heard()
        troubled = False
        for partition, fetched in fetched_partitions(answer):
            state = asked[partition]
            if state.ahead != offsets[partition]:
                continue  # the engine has sought another offset meanwhile
            try:
                unpacker = fetched.unpacker(partition, state.ahead)
            except Again:
                troubled = True
            except PeltonError as error:
                state.error = error
                self._news.set()
            else:
                state.end = fetched.end
                self._buffer(state, unpacker, len(fetched.data))
        return troubled

    def _buffer(self, state: _Partition, unpacker: Unpacker, nbytes: int) -> None:
        if unpacker.exhausted:
            return
        state.buffered.append((unpacker, nbytes))
        state.nbytes += nbytes
        state.ahead = unpacker.end
        self._news.set()
