"""The runtime over a real embedded log: commits that fail, stops, rebalances, agents at different speeds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from pelton.batch import TopicPartition
from pelton.clock import SystemClock
from pelton.codec import codec_for
from pelton.errors import FencedError, InternalError, RecordsLostError, StateCorruptedError, UnavailableError
from pelton.log.contract import Position, TopicSpec
from pelton.log.partitioner import partition_for
from pelton.runtime.purging import Purge
from pelton.runtime.spec import OF_OPERATORS, Program, TableSpec
from pelton.state.memory import MemoryStore, MemoryStores
from tests.unit.runtime.runtime_scene import OUT, PARTITIONS, SUMS, TOPIC, WORLD, Commit, Scene, agent, opened
from tests.unit.runtime.task_rig import add, lane


@pytest_asyncio.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with opened(tmp_path) as one:
        yield one


async def echo(stream: Any) -> Any:
    """Sum up each key, and send every number on."""
    async for number in stream:
        add(lane().raw_key or b"", number)
        yield number


def check(table: dict[bytes, bytes], numbers: Sequence[int]) -> None:
    assert sum(int(value) for value in table.values()) == sum(numbers)


async def check_all(scene: Scene, numbers: Sequence[int]) -> None:
    """Nothing was lost, nothing doubled; the stores are what the changelogs amount to. No worker runs any more."""
    assert await scene.values() == sorted(numbers)
    check(await scene.table(), numbers)
    assert scene.stored() == await scene.table()


# Commits


async def test_what_tells_that_an_event_was_handled_has_a_higher_rank_than_what_came_of_it(scene: Scene):
    marks = TableSpec("marks", TopicSpec("marks-changelog", cleanup_policy="compact"), rank=OF_OPERATORS)

    async def mark(stream: Any) -> Any:
        async for number in stream:
            key = lane().raw_key or b""
            for table in ("marks", "sums", "world"):
                add(key, number, table)
            yield number

    spec = replace(agent(mark), tables=frozenset({"marks", "sums", "world"}))
    await scene.worker(spec, tables=[marks, SUMS, WORLD])
    await scene.append(*range(20))
    await scene.until_done()
    ranks = {(batch.topic, batch.rank) for writes in scene.troubles.writes for batch in writes}
    assert ranks == {(OUT, 0), ("sums-changelog", 1), ("world-changelog", 1), ("marks-changelog", OF_OPERATORS)}


async def test_effects_positions_and_stores_go_together(scene: Scene):
    runtime = await scene.worker(agent(echo))
    await scene.append(*range(100))
    await scene.until_done()
    await scene.until(lambda: runtime.statistics().committed_records == 100)
    statistics = runtime.statistics()
    assert (statistics.records_in, statistics.commit_failures) == (100, 0)
    await scene.stop(runtime)
    await check_all(scene, range(100))


async def refused(_: Commit) -> Sequence[int]:
    raise UnavailableError("the log does not answer")


async def undecided(commit: Commit) -> Sequence[int]:
    """Commit, but the answer is lost on its way."""
    await commit()
    raise UnavailableError("the log did not answer in time")


@pytest.mark.parametrize("trouble", [refused, undecided])
async def test_a_commit_that_fails_loses_and_doubles_nothing(scene: Scene, trouble: Any):
    async def copy(stream: Any) -> Any:
        async for number in stream:  # keys of its own: a round's effects come at its end, over those of other agents
            add(b"copy of %s" % (lane().raw_key or b""), number)
            yield number

    scene.troubles.commits = [trouble, trouble]
    runtime = await scene.worker(agent(echo), agent(copy, "copy", concurrency=3))
    await scene.append(*range(100))
    await scene.until_done()
    await scene.append(*range(100, 200))
    await scene.until_done()
    await scene.until(lambda: runtime.statistics().commit_failures == 2)
    await scene.stop(runtime)
    assert await scene.values() == sorted([*range(200), *range(200)])
    check(await scene.table(), [*range(200), *range(200)])
    await scene.stop(await scene.worker(agent(echo)))  # restores what the last commit left out
    assert scene.stored() == await scene.table()


async def test_a_worker_that_was_expelled_begins_anew(scene: Scene):
    """It was silent for too long: its commit is refused, and it does its work again when it has joined again."""
    runtime = await scene.worker(agent(echo))

    async def too_late(commit: Commit) -> Sequence[int]:
        await scene.expel()
        return await commit()

    scene.troubles.commits = [too_late]
    await scene.append(*range(50))
    await scene.until_done()
    assert runtime.statistics().commit_failures == 1
    await scene.append(*range(50, 100))
    await scene.until_done()
    await scene.stop(runtime)
    await check_all(scene, range(100))


@pytest.mark.parametrize("step", ["declare", "join"])
async def test_a_worker_that_meets_an_outage_starts_when_it_is_over(scene: Scene, step: str):
    scene.troubles.starts = {step: 2}
    await scene.worker(agent(echo))
    assert scene.troubles.starts == {step: 0}
    await scene.append(*range(10))
    await scene.until_done()


async def test_a_commit_that_is_fenced_becomes_visible_to_nobody(scene: Scene):
    """The worker lets go; the group tells it what comes next, and here nothing has changed but the generation."""

    async def fenced(_: Commit) -> Sequence[int]:
        raise FencedError("another worker owns these partitions")

    scene.troubles.commits = [fenced]
    runtime = await scene.worker(agent(echo))
    await scene.append(*range(50))
    await scene.until(lambda: runtime.statistics().commit_failures == 1 and not runtime.partitions)
    assert await scene.values() == []
    rival = await scene.worker(agent(echo), stores=MemoryStores())  # a rebalance
    await scene.stop(runtime)
    await scene.until_done()
    await scene.stop(rival)
    assert await scene.values() == list(range(50))


async def test_a_stop_in_the_middle_of_a_commit_loses_nothing(scene: Scene):
    under_way, gate = asyncio.Event(), asyncio.Event()

    async def slow(commit: Commit) -> Sequence[int]:
        under_way.set()
        await gate.wait()
        return await commit()

    scene.troubles.commits = [slow]
    runtime = await scene.worker(agent(echo))
    await scene.append(*range(10))
    await under_way.wait()
    await scene.append(*range(10, 20))
    await scene.until(lambda: runtime.statistics().records_in == 20)
    stopping = asyncio.create_task(scene.stop(runtime))
    await asyncio.sleep(0)
    gate.set()
    await stopping
    await check_all(scene, range(20))


async def test_after_an_error_that_ends_the_worker_no_commit_passes_over_what_was_staged(scene: Scene):
    async def broken(_: Commit) -> Sequence[int]:
        raise InternalError("the engine is broken")

    runtime = await scene.worker(agent(echo))
    scene.troubles.commits = [broken]
    await scene.append(1)
    with pytest.raises(InternalError):
        await runtime.run()
    await scene.stop(runtime)
    assert (await scene.positions()).get(partition_for(b"key-0", PARTITIONS), (0, ""))[0] == 0
    after = await scene.worker(agent(echo))  # at once, on the same stores
    await scene.until_done()
    await scene.stop(after)
    await check_all(scene, [1])


async def test_a_commit_that_meets_a_damaged_store_begins_again_with_a_new_one(scene: Scene):
    async def damaged(commit: Commit) -> Sequence[int]:
        await commit()
        raise StateCorruptedError("the store cannot be written")

    runtime = await scene.worker(agent(echo))
    scene.troubles.commits = [damaged]
    await scene.append(*range(20))
    await scene.until_done()
    await scene.append(*range(20, 40))
    await scene.until_done()
    await scene.until(lambda: runtime.statistics().commit_failures == 1)
    await scene.stop(runtime)
    await check_all(scene, range(40))


# Agents at different speeds


async def test_each_agent_has_its_own_position_and_skips_what_it_has_committed(scene: Scene):
    gate = asyncio.Event()
    fast_seen: list[int] = []

    async def slow(stream: Any) -> Any:
        async for number in stream:
            if number >= 3:
                await gate.wait()
            yield -number

    async def fast(stream: Any) -> Any:
        async for number in stream:
            fast_seen.append(number)
            yield number

    runtime = await scene.worker(agent(slow, "slow"), agent(fast, "fast"))
    await scene.append(*range(10), key=b"k")
    number = partition_for(b"k", PARTITIONS)
    await scene.until(lambda: len(fast_seen) == 10)
    await scene.stop(runtime)
    assert (await scene.positions())[number] == (3, '{"fast":7}')
    gate.set()
    await scene.append(10, key=b"k")
    runtime = await scene.worker(agent(slow, "slow"), agent(fast, "fast"))
    await scene.until_done()
    assert fast_seen == list(range(11))
    assert await scene.values() == sorted([*range(0, -11, -1), *range(11)])


async def test_back_pressure_pauses_the_partition_and_resumes_it(scene: Scene):
    begun, gate = asyncio.Event(), asyncio.Event()

    async def slow(stream: Any) -> Any:
        async for number in stream:
            begun.set()
            await gate.wait()
            yield number

    limit = 64 * 1024
    runtime = await scene.worker(agent(slow), task_queue_bytes_max=limit, fetch_bytes_max=limit)
    await scene.append(10**15, key=b"k")
    await begun.wait()  # it holds a slice of one record, and takes no other meanwhile
    for first in range(1, 20_001, 1_000):
        await scene.append(*[10**15 + number for number in range(first, first + 1_000)], key=b"k")
    number = partition_for(b"k", PARTITIONS)
    await scene.until(lambda: TopicPartition(TOPIC, number) in runtime._fetching._full)
    queued = runtime.partitions[number].queued_bytes
    assert limit < queued < 3 * limit
    await asyncio.sleep(0.1)  # nothing more comes, however long one waits
    assert runtime.partitions[number].queued_bytes == queued
    gate.set()
    await scene.until_done()
    assert len(await scene.values()) == 20_001


# Partitions come and go


async def test_a_rebalance_with_a_commit_under_way(scene: Scene):
    under_way, gate = asyncio.Event(), asyncio.Event()

    async def slow(commit: Commit) -> Sequence[int]:
        under_way.set()
        await gate.wait()
        return await commit()

    first = await scene.worker(agent(echo))
    await scene.append(*range(20))
    await scene.until_done()
    scene.troubles.commits = [slow]
    await scene.append(*range(20, 40))
    await under_way.wait()
    joining = asyncio.create_task(scene.worker(agent(echo)))
    await scene.append(*range(40, 60))
    await scene.until(lambda: first.statistics().records_in >= 40)
    gate.set()
    second = await joining
    await scene.until(lambda: len(first.partitions) == len(second.partitions) == 1)
    await scene.append(*range(60, 100))
    await scene.until_done()
    await scene.stop(second)
    await scene.until(lambda: len(first.partitions) == PARTITIONS)
    await scene.append(*range(100, 120))
    await scene.until_done()
    await scene.stop(first)
    assert await scene.values() == list(range(120))
    check(await scene.table(), range(120))


async def test_partitions_that_come_back_while_they_start_are_started_once(scene: Scene):
    """A rebalance may come before the restore of the one before has begun."""
    await scene.append(*range(50))
    runtime = await scene.worker(agent(echo))
    await scene.until_done()
    sources = frozenset(runtime.group.assignment())
    await runtime._revoked(sources)
    for _ in range(3):
        await runtime._assigned(sources, frozenset())
    await scene.until(lambda: len(runtime._assignment.running()) == PARTITIONS)
    assert len(runtime._stores.opened) == PARTITIONS
    assert scene.stores.held(Path("/stores")) == {0, 1}
    assert not [place for place in scene.stores._disk if place[2]], "a store was opened twice"
    await scene.append(*range(50, 60))
    await scene.until_done()
    await scene.stop(runtime)
    await check_all(scene, range(60))


async def test_a_store_that_is_being_opened_when_its_partition_leaves_is_closed(scene: Scene):
    runtime = await scene.worker(agent(echo))
    sources = frozenset(runtime.group.assignment())
    await runtime._revoked(sources)
    await runtime._assigned(frozenset(), frozenset())
    runtime._assignment.begin(0)
    await asyncio.sleep(0)
    await runtime._assigned(frozenset(), frozenset())
    assert (runtime.partitions, runtime._assignment.starting, runtime._stores.opened) == ({}, {}, {})
    again = scene.stores.open(Path("/stores"), 0, ["sums"])
    assert [place for place in scene.stores._disk if place[2]] == [], "the first copy was free"
    again.close()


class CorruptOnce(MemoryStores):
    """Stores of which the first that is opened cannot be read."""

    def __init__(self) -> None:
        super().__init__()
        self.discarded: list[int] = []

    def open(self, directory: Path, partition: int, tables: Any) -> MemoryStore:
        if partition not in self.discarded:
            raise StateCorruptedError(f"the store of partition {partition} is damaged")
        return super().open(directory, partition, tables)

    def discard(self, directory: Path, partition: int) -> None:
        self.discarded.append(partition)
        super().discard(directory, partition)


async def test_a_damaged_store_is_discarded_and_restored(scene: Scene):
    runtime = await scene.worker(agent(echo))
    await scene.append(*range(50))
    await scene.until_done()
    await scene.stop(runtime)
    stores = CorruptOnce()
    runtime = await scene.worker(agent(echo), stores=stores)
    assert sorted(stores.discarded) == [0, 1]
    await scene.append(*range(50, 60))
    await scene.until_done()
    await scene.stop(runtime)
    assert await scene.values() == list(range(60))
    assert scene.stored(stores=stores) == await scene.table()


async def test_lost_state_is_restored(scene: Scene):
    runtime = await scene.worker(agent(echo))
    await scene.append(*range(50))
    await scene.until_done()
    await scene.stop(runtime)
    before, scene.stores = scene.stored(), MemoryStores()
    runtime = await scene.worker(agent(echo))
    await scene.stop(runtime)
    assert scene.stored() == before


async def trimmed(scene: Scene) -> None:
    """Leave a group behind whose next record, 10, was deleted by retention; 15 to 19 are left."""
    runtime = await scene.worker(agent(echo))
    await scene.append(*range(10), key=b"k")
    await scene.until_done()
    await scene.stop(runtime)
    await scene.append(*range(10, 15), key=b"k")
    await scene.append(*range(15, 20), key=b"k")
    number = partition_for(b"k", PARTITIONS)
    await scene.log.write(lambda db: _trim(db, number, 15))


LOST = f"5 records of {TopicPartition(TOPIC, partition_for(b'k', PARTITIONS))} were deleted before they were read"


async def test_what_ends_beside_the_loops_with_an_error_ends_the_worker(scene: Scene):
    runtime = await scene.worker(agent(echo))
    runtime.crashes.append(lambda: ZeroDivisionError("a bug"))
    with pytest.raises(ZeroDivisionError, match="a bug"):
        await scene.until_ended(runtime)


async def test_records_that_retention_took_end_the_worker(scene: Scene):
    await trimmed(scene)
    with pytest.raises(RecordsLostError) as caught:
        await scene.until_ended(await scene.worker(agent(echo)))
    assert LOST in str(caught.value)
    assert "the first one left is 15, the next to read was 10, the committed offset is 10" in str(caught.value)
    assert "PELTON_ON_LOST_RECORDS" in (caught.value.hint or "")
    assert await scene.values() == [*range(10)]


async def test_records_that_retention_took_are_passed_over_loudly(scene: Scene, caplog: pytest.LogCaptureFixture):
    await trimmed(scene)
    runtime = await scene.worker(agent(echo), on_lost_records="earliest")
    await scene.append(*range(20, 30), key=b"k")
    await scene.until_done()
    assert LOST in caplog.text
    assert runtime.statistics().records_lost == 5
    assert await scene.values() == [*range(10), *range(15, 30)]


async def test_what_is_left_is_passed_over_too_and_committed_so(scene: Scene, caplog: pytest.LogCaptureFixture):
    await trimmed(scene)
    runtime = await scene.worker(agent(echo), on_lost_records="latest")
    await scene.until_done()  # also when nothing comes behind it, the next worker must not find the trap again
    await scene.append(*range(20, 30), key=b"k")
    await scene.until_done()
    assert LOST in caplog.text
    assert runtime.statistics().records_lost == 5
    assert await scene.values() == [*range(10), *range(20, 30)]


def _trim(db: Any, number: int, offset: int) -> None:
    """Delete a partition's records before an offset, as retention does."""
    place = "partition = ? and topic = (select id from topics where name = ?)"
    db.execute(f"delete from batches where {place} and next <= ?", (number, TOPIC, offset))
    db.execute(f"update ranges set first = ? where {place}", (offset, number, TOPIC))


async def test_two_agents_with_their_own_codecs_each_give_up_what_they_cannot_read(scene: Scene):
    texts = agent(echo_text, "texts")
    source = replace(texts.sources[TOPIC], value_codec=codec_for(str))
    texts = replace(texts, sources={TOPIC: source})
    runtime = await scene.worker(agent(echo, "numbers"), texts)
    await scene.append(b'"7"', b"{", 5)
    await scene.until_done()
    assert runtime.statistics().dead_lettered == 4
    assert len(await scene.records("app-dlq")) == 4
    assert await scene.values() == [5, 7]


async def echo_text(stream: Any) -> Any:
    async for text in stream:
        yield text


# Topics for repartitioning


@pytest.mark.parametrize("purged", [True, False])
async def test_what_is_committed_of_a_purged_topic_can_be_deleted(scene: Scene, purged: bool):
    reader = agent(echo)
    source = replace(reader.sources[TOPIC], purged=purged)
    runtime = await scene.worker(replace(reader, sources={TOPIC: source}))
    await scene.append(*range(100))
    await scene.until(lambda: runtime.statistics().committed_records == 100)
    await runtime.purging.purge()
    sources = [TopicPartition(TOPIC, number) for number in range(PARTITIONS)]
    left = sum(span.end - span.start for span in (await scene.log.offsets(sources)).values())
    assert left == (0 if purged else 100)
    await scene.stop(runtime)
    again = await scene.worker(replace(reader, sources={TOPIC: source}))
    await scene.append(*range(100, 150))
    await scene.until_done()
    await scene.stop(again)
    await check_all(scene, range(150))


async def test_a_log_that_deletes_nothing_stops_nobody(scene: Scene, caplog: pytest.LogCaptureFixture):
    source = replace(agent(echo).sources[TOPIC], purged=True)
    purge = Purge(Program({"agent": replace(agent(echo), sources={TOPIC: source})}, {}, {}), scene.log, SystemClock())
    purge.committed({TopicPartition("not there", 0): Position(3)})
    await purge.purge()
    assert not caplog.records
    purge.committed({TopicPartition(TOPIC, PARTITIONS): Position(3)})
    await purge.purge()
    await purge.purge()
    assert ["so they grow" in record.message for record in caplog.records] == [True]


async def test_a_topic_is_not_silent_before_the_first_fetch_or_while_the_log_has_more_or_does_not_answer(scene: Scene):
    runtime = await scene.worker(agent(echo))
    task = runtime.partitions[0].tasks[0]
    assert task.options.owed([TopicPartition("never heard of", 0)]) == {"never heard of"}
    await scene.until(lambda: not task.waiting())
    scene.troubles.behind[TopicPartition(TOPIC, 0)] = 5
    assert task.waiting() == {TOPIC}
    assert not runtime.partitions[1].tasks[0].waiting()
    scene.troubles.behind.clear()
    assert (task.waiting(), task.listening_since_s()) == (set(), 0.0)
    scene.troubles.starts["fetch"] = 1
    await scene.until(lambda: runtime.pulse().outage)
    began_s = task.monotonic()
    assert task.waiting() == {TOPIC}
    await scene.until(lambda: not runtime.pulse().outage)
    assert task.waiting() == set()
    assert task.listening_since_s() >= began_s, "silence begins anew"
