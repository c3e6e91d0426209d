"""Where partitions begin and end, and where groups stand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pelton.batch import TopicPartition
from pelton.log.contract import OffsetRange, Position
from pelton.log.kafka.aio import OffsetRequest, StableOffsetFetchRequest
from pelton.log.kafka.cluster import GROUP, Again, Cluster, check
from pelton.log.kafka.codes import Code
from pelton.log.kafka.reader import READ_COMMITTED

__all__ = [
    "decided_positions",
    "end_offsets",
    "first_offsets",
    "group_positions",
    "list_offsets",
    "offset_ranges",
]

_READ_UNCOMMITTED = 0
_EARLIEST = -2
_LATEST = -1

#: How long whoever only asks how far it goes waits for transactions to be decided.
_UNDECIDED_PATIENCE_S = 20.0


async def list_offsets(
    cluster: Cluster, timestamps: Mapping[TopicPartition, int], isolation: int = READ_COMMITTED
) -> dict[TopicPartition, int]:
    """Return for each partition the first offset with its timestamp or a later one (-1 when there is none).

    timestamps: milliseconds, or Kafka's -1 (the end) and -2 (the start).
    Raises: UnavailableError.
    """
    found: dict[TopicPartition, int] = {}

    async def attempt() -> None:
        for node, partitions in cluster.by_leader(p for p in timestamps if p not in found).items():
            topics: dict[str, list[tuple[int, int]]] = {}
            for partition in partitions:
                topics.setdefault(partition.topic, []).append((partition.partition, timestamps[partition]))
            answer = await cluster.send(node, OffsetRequest(-1, isolation, list(topics.items())), "admin")
            for topic, entries in answer.topics:
                for number, code, _, offset in entries:
                    check(code, f"find the offsets of {topic}[{number}]", TopicPartition(topic, number))
                    found[TopicPartition(topic, number)] = offset

    await cluster.retry(attempt, "find offsets")
    return found


async def end_offsets(
    cluster: Cluster, partitions: Iterable[TopicPartition], *, decided: bool
) -> dict[TopicPartition, int]:
    """Return one past the last committed record of each partition, once what is being committed now is decided.

    A transaction is committed when the broker has accepted EndTxn, but its records become visible some
    milliseconds later. A reader that restores state must not take the end from before that; so this waits until
    the last stable offset has reached the high watermark as it was at the call, as Kafka Streams does. The markers may
    take long, while a leader is being elected: only with decided does it never give up waiting for them.
    Raises: UnavailableError.
    """
    wanted = list(partitions)
    written = await list_offsets(cluster, dict.fromkeys(wanted, _LATEST), _READ_UNCOMMITTED)
    stable: dict[TopicPartition, int] = {}
    deadline = cluster.clock.monotonic() + _UNDECIDED_PATIENCE_S

    async def attempt() -> None:
        undecided = [p for p in wanted if stable.get(p, -1) < written[p]]
        stable.update(await list_offsets(cluster, dict.fromkeys(undecided, _LATEST)))
        waiting = sorted(p for p in wanted if stable[p] < written[p])
        if waiting and (decided or cluster.clock.monotonic() < deadline):
            raise Again(f"transactions over {', '.join(map(str, waiting))} are undecided")

    if wanted:
        await cluster.retry(attempt, "find the end of partitions")
    return stable


async def offset_ranges(
    cluster: Cluster, partitions: Iterable[TopicPartition], *, decided: bool = False
) -> dict[TopicPartition, OffsetRange]:
    """Return what each partition holds. decided: see `end_offsets`."""
    wanted = list(partitions)
    starts = await list_offsets(cluster, dict.fromkeys(wanted, _EARLIEST))
    ends = await end_offsets(cluster, wanted, decided=decided)
    return {p: OffsetRange(starts[p], ends[p]) for p in wanted}


async def first_offsets(
    cluster: Cluster, partitions: Iterable[TopicPartition], start: str
) -> dict[TopicPartition, int]:
    """Return where a group without positions begins: at the "earliest" or at the "latest" offset."""
    wanted = dict.fromkeys(partitions, _EARLIEST if start == "earliest" else _LATEST)
    return await list_offsets(cluster, wanted) if wanted else {}


async def group_positions(
    cluster: Cluster, group_id: str, partitions: Iterable[TopicPartition]
) -> dict[TopicPartition, Position]:
    """Return a group's committed positions, each after every pending transaction over it; absent ones are missing.

    They are not of one moment. Of a group of busy workers some position is undecided at nearly every moment: whoever
    waited for one at which all are decided waited for 15 s.
    """
    found: dict[TopicPartition, Position] = {}
    wanted = set(partitions)

    async def attempt() -> dict[TopicPartition, Position]:
        positions, undecided = await _ask_positions(cluster, group_id, wanted)
        found.update(positions)
        wanted.intersection_update(undecided)
        if wanted:
            raise Again(Code.UNSTABLE_OFFSET_COMMIT.name)
        return found

    return await cluster.retry(attempt, _doing(group_id)) if wanted else {}


async def decided_positions(
    cluster: Cluster, group_id: str, partitions: Iterable[TopicPartition]
) -> tuple[dict[TopicPartition, Position], frozenset[TopicPartition]]:
    """Return the committed positions as they are now, and the partitions over which a transaction is undecided.

    A worker that was killed in the middle of a commit leaves such a transaction, until its timeout or its successor.
    """
    wanted = list(partitions)
    if not wanted:
        return {}, frozenset()
    return await cluster.retry(lambda: _ask_positions(cluster, group_id, wanted), _doing(group_id))


def _doing(group_id: str) -> str:
    return f"read the positions of group {group_id!r}"


async def _ask_positions(
    cluster: Cluster, group_id: str, partitions: Iterable[TopicPartition]
) -> tuple[dict[TopicPartition, Position], frozenset[TopicPartition]]:
    topics: dict[str, list[int]] = {}
    for topic, number in partitions:
        topics.setdefault(topic, []).append(number)
    request = StableOffsetFetchRequest(group_id, [(topic, numbers, {}) for topic, numbers in topics.items()])
    answer = await cluster.to_coordinator(GROUP, group_id, request)
    check(answer.error_code, _doing(group_id))
    found: dict[TopicPartition, Position] = {}
    undecided: set[TopicPartition] = set()
    for topic, entries, _ in answer.topics:
        for number, offset, _, metadata, code, _ in entries:
            partition = TopicPartition(topic, number)
            if code == Code.UNSTABLE_OFFSET_COMMIT:
                undecided.add(partition)
                continue
            check(code, _doing(group_id), partition)
            if offset >= 0:
                found[partition] = Position(offset, metadata or "")
    return found, frozenset(undecided)
