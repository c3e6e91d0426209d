"""The durable-log contract: what the engine asks of a log, and nothing else.

Two homes implement it, SQLite (`pelton.log.sqlite`) and Kafka (`pelton.log.kafka`); one suite,
tests/contract/test_log.py, holds both to it. The contract speaks in batches and in whole
transactions: an engine that stages all effects in the process needs one call, `Group.commit`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from pelton.batch import OutgoingBatch, RecordBatch, TopicPartition

__all__ = [
    "CleanupPolicy",
    "Group",
    "GroupOptions",
    "Guarantee",
    "Log",
    "MemberInfo",
    "OffsetRange",
    "Position",
    "RebalanceListener",
    "RecordRules",
    "TopicSpec",
]

CleanupPolicy = Literal["delete", "compact", "compact,delete"]
Guarantee = Literal["exactly_once", "at_least_once"]


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic as declared.

    partitions: how many, or None for the log's default (and any number accepted when it exists).
    replicas: replication factor, or None for the log's default; SQLite has one copy and ignores it.
    retention_ms: None keeps the log's default; -1 keeps records for ever.
    config: further settings of the log by their Kafka names; SQLite takes those it knows
        ("max.message.bytes", "message.timestamp.type", "delete.retention.ms") and ignores the others.
    """

    name: str
    partitions: int | None = None
    replicas: int | None = None
    cleanup_policy: CleanupPolicy = "delete"
    retention_ms: int | None = None
    config: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class RecordRules:
    """What a topic asks of its records, besides a size.

    keyed: whether each must have a key (it is compacted).
    before_ms, after_ms: how far behind and ahead of the log's clock a timestamp may be; None where any may.
    """

    keyed: bool = False
    before_ms: int | None = None
    after_ms: int | None = None


class OffsetRange(NamedTuple):
    """The offsets a partition holds: start is the first, end is one past the last committed record."""

    start: int
    end: int


class Position(NamedTuple):
    """A committed position: the next offset to process, and a note of ours that travels with it."""

    offset: int
    metadata: str = ""


@dataclass(frozen=True, slots=True)
class MemberInfo:
    """One member of a group, as every other member sees it.

    address: the host:port of its web server, "" when it has none.
    tasks: the partition numbers it processes; standbys: those it keeps a warm copy of.
    """

    member_id: str
    address: str = ""
    tasks: frozenset[int] = frozenset()
    standbys: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class GroupOptions:
    """How a worker joins its group.

    group_id: the application's id.
    topics: what it reads. Partition n of every topic goes to the same member (co-partitioning).
    guarantee: whether `Group.commit` is one transaction, or durable records followed by positions.
    held: partition numbers whose state this worker already has on disk; the assignment prefers them.
    instance_id: a name that survives restarts (static membership, KIP-345), or None. A member that joins under it takes
        the place of the one before, which is fenced.
    returns: whether a member that leaves keeps its place for the session timeout, expecting to be back (a rolling
        restart); when False its partitions go to others at once.
    transactional_id: names the producer of the transactions; the log makes one up when None.
    session_timeout_ms: a member silent for so long is out of the group.
    start: where a partition without a committed position begins.
    """

    group_id: str
    topics: frozenset[str]
    guarantee: Guarantee = "exactly_once"
    held: frozenset[int] = frozenset()
    address: str = ""
    instance_id: str | None = None
    returns: bool = False
    transactional_id: str | None = None
    standby_replicas: int = 0
    session_timeout_ms: int = 45_000
    heartbeat_interval_ms: int = 3_000
    transaction_timeout_ms: int = 15_000
    fetch_bytes_max: int = 16 * 1024 * 1024
    start: Literal["earliest", "latest"] = "earliest"


@dataclass(frozen=True, slots=True)
class RebalanceListener:
    """What the engine does when its partitions change.

    revoked: awaited before the partitions go to anybody else; commits what it can. May be called with
        partitions that come straight back in the next `assigned`.
    assigned: awaited after every change, with the whole new assignment and the standby numbers;
        no fetch returns a record of a new partition before it has returned.
    lost: the partitions are gone already (the session expired); nothing can be committed.
    """

    revoked: Callable[[frozenset[TopicPartition]], Awaitable[None]]
    assigned: Callable[[frozenset[TopicPartition], frozenset[int]], Awaitable[None]]
    lost: Callable[[frozenset[TopicPartition]], Awaitable[None]]


class Group(Protocol):
    """One worker's membership in a consumer group: it reads, and commits what came of it.

    Exactly one coroutine may call `fetch`, and one `commit`, at a time; the two may overlap.
    """

    @property
    def member_id(self) -> str:
        """The id that the log gave this member."""
        ...

    @property
    def generation(self) -> int:
        """The generation of the assignment in force; grows with every rebalance."""
        ...

    def assignment(self) -> frozenset[TopicPartition]:
        """Return the partitions that this member owns now."""
        ...

    def members(self) -> Sequence[MemberInfo]:
        """Return all members, as of the last rebalance."""
        ...

    def confirmed_at_s(self) -> float:
        """Return the last moment, by `Clock.monotonic`, at which the group is known to have had this member.

        Its partitions are nobody else's for the session timeout from then on.
        """
        ...

    async def fetch(self, *, bytes_max: int, timeout_s: float) -> Sequence[RecordBatch]:
        """Return what there is to read now, at most about bytes_max, waiting up to timeout_s for the first.

        Only committed records are returned, in offset order for each partition, starting at its position
        (the committed one, or as `seek` set it). Runs the rebalance callbacks when one is due.
        Returns: one or more batches a partition; empty when nothing came in time.
        Raises: OffsetOutOfRangeError, UnavailableError; FencedError when another member took the instance_id.
        """
        ...

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        """Stop fetching these partitions; what the log client has buffered already is kept for later."""
        ...

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        """Fetch these partitions again."""
        ...

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Fetch this partition from another offset next."""
        ...

    def lag(self) -> Mapping[TopicPartition, int]:
        """Return how many offsets lie between each position and the end, as last heard; no round trip.

        A partition that was never heard of is missing. Zero everywhere means there is nothing more to read.
        """
        ...

    async def committed(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, Position]:
        """Return the group's committed positions; partitions that have none are missing."""
        ...

    async def commit(
        self,
        writes: Sequence[OutgoingBatch],
        positions: Mapping[TopicPartition, Position],
    ) -> Sequence[int]:
        """Make the records and the positions durable and visible, together.

        With exactly_once all become visible or none (one transaction, fenced by the group's generation).
        With at_least_once all batches of a rank are durable before any of a higher one is written, whatever their
        place in writes, and all of them before the positions are; when it fails, lower ranks may have been written.
        Returns: the offset of each batch's first record, in the order of writes.
        Raises: FencedError when this member no longer owns the partitions; RecordRefusedError when a topic does not
            take a record; UnavailableError when
            the outcome is known to be "nothing was written", or is unknown: the engine must then abandon its
            staged work and begin again from the committed positions.
        """
        ...

    def update(self, *, topics: frozenset[str] | None = None, held: frozenset[int] | None = None) -> None:
        """Read other topics, or tell of other state on disk; a change of topics causes a rebalance."""
        ...

    async def leave(self) -> None:
        """Leave the group at once; `RebalanceListener.revoked` runs first. Idempotent."""
        ...

    def statistics(self) -> object:
        """Return an immutable record of this member's counters."""
        ...


class Log(Protocol):
    """A connection to the log, one a process."""

    async def open(self) -> None:
        """Connect. Raises: UnavailableError, ConfigurationError."""
        ...

    async def close(self) -> None:
        """Let go of everything. Idempotent."""
        ...

    async def declare(self, specs: Iterable[TopicSpec]) -> Mapping[str, int]:
        """Create the topics that are missing and check those that exist.

        Returns: topic -> number of partitions. Safe to call from several processes at once.
        Raises: TopicMismatch when one exists with other partitions or another cleanup policy than declared
            (a spec with partitions=None accepts any number).
        """
        ...

    async def partitions(self, topics: Iterable[str]) -> Mapping[str, int]:
        """Return topic -> number of partitions; topics that do not exist are missing."""
        ...

    async def record_bytes_max(self, topics: Iterable[str]) -> Mapping[str, int]:
        """Return topic -> how large a record of it may be (see `pelton.batch.record_bytes`), before any compression.

        Topics that do not exist, or whose settings may not be read, are missing.
        """
        ...

    async def record_rules(self, topics: Iterable[str]) -> Mapping[str, RecordRules]:
        """Return topic -> what else it asks of its records; topics without an answer, as above, are missing."""
        ...

    async def deletions_ms(self, topics: Iterable[str]) -> Mapping[str, int]:
        """Return topic -> for how long it says that a key is gone, if it is compacted (`delete.retention.ms`).

        Topics that do not exist, or whose settings may not be read, are missing.
        """
        ...

    async def topics(self) -> frozenset[str]:
        """Return the names of all topics, without the log's own internal ones."""
        ...

    async def delete_topics(self, topics: Iterable[str]) -> None:
        """Delete these topics and their records; names that do not exist are ignored."""
        ...

    async def trim(self, ends: Mapping[TopicPartition, int]) -> None:
        """Delete the records of partitions before an offset each: all of them, or those that the log can let go now.

        What is at the offset, or behind it, stays. Raises: UnavailableError, ConfigurationError (it is not allowed).
        """
        ...

    async def append(self, batches: Sequence[OutgoingBatch]) -> Sequence[int]:
        """Append outside of any transaction; durable (and visible) when this returns; not doubled by retries.

        Returns: the offset of each batch's first record, in order.
        Raises: UnavailableError; RecordRefusedError for a record that its topic does not take.
        """
        ...

    async def read(self, partition: TopicPartition, offset: int, *, bytes_max: int, timeout_s: float) -> RecordBatch:
        """Read committed records from an offset, outside of any group; empty when none came in time.

        At least one record is returned when there is one, however large.
        Raises: OffsetOutOfRangeError when offset is below the partition's start or past its end.
        """
        ...

    async def offsets(
        self, partitions: Iterable[TopicPartition], *, decided: bool = False
    ) -> Mapping[TopicPartition, OffsetRange]:
        """Return the range of offsets each partition holds (committed records only).

        decided: whether every transaction over them must be decided, and what it committed be there. Without it, one
            that nobody ends is passed over after a while: what it holds comes behind the end.
        Raises: UnavailableError; with decided also when a transaction stays undecided.
        """
        ...

    async def offset_at(self, partition: TopicPartition, timestamp_ms: int) -> int | None:
        """Return the offset of the first record with this timestamp or a later one; None when there is none."""
        ...

    async def group_positions(
        self, group_id: str, partitions: Iterable[TopicPartition]
    ) -> Mapping[TopicPartition, Position]:
        """Return a group's committed positions without joining it; partitions that have none are missing."""
        ...

    async def group_members(self, group_id: str) -> Sequence[MemberInfo]:
        """Return a group's members without joining it; none while it rebalances, or has none."""
        ...

    async def join(self, options: GroupOptions, listener: RebalanceListener) -> Group:
        """Become a member of a group. The first assignment is made by the first calls of `Group.fetch`."""
        ...

    def statistics(self) -> object:
        """Return an immutable record of this connection's counters."""
        ...
