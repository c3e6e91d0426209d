"""Stores that come back after the changelog has stopped saying which keys are gone (invariant I3)."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Container
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from pelton.batch import TopicPartition
from pelton.errors import StateCorruptedError
from pelton.log.contract import TopicSpec
from pelton.log.sqlite import SqliteLog, cleaning
from pelton.runtime.facts import FACTS_TABLE, note_current, outdated
from pelton.runtime.replicated import ReplicatedTables
from pelton.runtime.restore import restore
from pelton.runtime.runtime import Runtime
from pelton.runtime.spec import TableSpec
from pelton.state.contract import TableWrites
from pelton.state.memory import MemoryStores
from tests.unit.log.scene import DAY_MS, SettableClock
from tests.unit.runtime.runtime_scene import DIRECTORY, PARTITIONS, SUMS, WORLD, Scene, agent, opened
from tests.unit.runtime.task_rig import lane

TABLES = (SUMS, WORLD)


@pytest_asyncio.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with opened(tmp_path) as one:
        yield one


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SettableClock:
    """The wall clock of the workers and of the log's cleaner, which cleans however little there is."""
    monkeypatch.setattr(cleaning, "_COMPACT_RECORDS_MIN", 0)
    return SettableClock()


@pytest.fixture(autouse=True)
def told(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level("INFO", "pelton.runtime.restore")
    return caplog


async def keep(stream: Any) -> Any:
    """Keep each key's number in both tables; 0 deletes it."""
    async for number in stream:
        for table in ("sums", "world"):
            lane().tables[table].put(lane().raw_key or b"", b"%d" % number if number else None)
        yield number


async def keeper(scene: Scene, clock: SettableClock, stores: MemoryStores, **options: Any) -> Runtime:
    return await scene.worker(agent(keep), tables=TABLES, stores=stores, clock=clock, **options)


async def kept(scene: Scene, clock: SettableClock) -> MemoryStores:
    """Have a worker keep seven keys, and stop; return its disk, on which all of them are."""
    stores = MemoryStores()
    runtime = await keeper(scene, clock, stores)
    await scene.append(*range(1, 8))
    await scene.until_done()
    await until_followed(scene, runtime)
    await scene.stop(runtime)
    return stores


async def by_another(scene: Scene, clock: SettableClock, *numbers: int, key: bytes | None = None) -> None:
    """Have another worker, with a disk of its own, handle numbers."""
    other = await keeper(scene, clock, MemoryStores())
    await scene.append(*numbers, key=key)
    await scene.until_done()
    await scene.stop(other)


async def forget(scene: Scene, clock: SettableClock) -> None:
    """Delete all keys, and let more than a day pass twice, until the changelogs know nothing of it."""
    await by_another(scene, clock, *[0] * 7)
    for number in (1, 2):
        await scene.log.clean(clock.time_ms())
        clock.ahead_ms += DAY_MS + 1000
        for key in (b"key-0", b"key-1", b"key-2", b"key-3"):
            await by_another(scene, clock, *[number] * 10, key=key)
    await scene.log.clean(clock.time_ms())


async def until_followed(scene: Scene, runtime: Runtime) -> ReplicatedTables:
    """Wait until a worker has read all of the global table's changelog."""
    replicated = runtime.replicated
    assert replicated is not None
    ends = await scene.log.offsets([TopicPartition(WORLD.changelog.name, n) for n in range(PARTITIONS)])
    await scene.until(lambda: all(replicated._followed[source] >= span.end for source, span in ends.items()))
    return replicated


def wiped(told: pytest.LogCaptureFixture) -> set[str]:
    """Return the changelog partitions whose tables were wiped."""
    return set(re.findall(r"(\S+): .*wiped and restored", told.text))


async def test_a_store_that_comes_back_too_late_is_filled_anew(
    scene: Scene, clock: SettableClock, told: pytest.LogCaptureFixture
):
    stores = await kept(scene, clock)
    await forget(scene, clock)
    runtime = await keeper(scene, clock, stores)
    assert runtime.replicated is not None
    assert len(dict(runtime.replicated.store.scan("world"))) == len(await scene.table("world"))
    await scene.stop(runtime)
    assert scene.stored(stores=stores) == await scene.table()
    assert "may have forgotten deletions since the store was last up to date" in told.text


async def test_a_store_that_comes_back_in_time_goes_on(
    scene: Scene, clock: SettableClock, told: pytest.LogCaptureFixture
):
    stores = await kept(scene, clock)
    await by_another(scene, clock, *[0] * 7)
    clock.ahead_ms += DAY_MS // 2
    told.clear()
    await scene.stop(await keeper(scene, clock, stores))
    assert wiped(told) == set()
    assert scene.stored(stores=stores) == {}


async def test_a_store_that_nothing_has_changed_since_goes_on_however_old_it_is(
    scene: Scene, clock: SettableClock, told: pytest.LogCaptureFixture
):
    stores = await kept(scene, clock)
    clock.ahead_ms += 9 * DAY_MS
    told.clear()
    runtime = await keeper(scene, clock, stores)
    await scene.append(*range(8, 15))
    await scene.until_done()
    await until_followed(scene, runtime)
    await scene.stop(runtime)
    assert wiped(told) == set()
    assert scene.stored(stores=stores) == await scene.table()


async def test_changelogs_say_what_the_program_does_and_a_table_its_own(scene: Scene):
    own = TableSpec(
        "own", TopicSpec("own-changelog", cleanup_policy="compact", config={"delete.retention.ms": "90000"})
    )
    events = TableSpec("events", TopicSpec("events", retention_ms=-1))
    runtime = await scene.worker(agent(keep), tables=(SUMS, own, events), changelog_delete_retention_ms=60_000)
    assert {name: spec.deletions_ms for name, spec in runtime._topics.tables_declared.items()} == {
        "sums": 60_000,
        "own": 90_000,
        "events": None,
    }
    states = await scene.log.states(["sums-changelog", "own-changelog"])
    assert {name: state.config["delete.retention.ms"] for name, state in states.items()} == {
        "sums-changelog": "60000",
        "own-changelog": "90000",
    }


def noted_ms(runtime: Runtime, number: int = 0) -> int:
    """Return when a partition's store has noted that it is up to date."""
    return int((runtime.partitions[number].store.get(FACTS_TABLE, b"current sums") or b"0").split()[0])


async def test_a_worker_notes_what_the_group_confirms_afterwards(scene: Scene, clock: SettableClock):
    runtime = await keeper(scene, clock, MemoryStores())
    freshness, began_ms = runtime._freshness, noted_ms(runtime)
    clock.ahead_ms += 1_000_000
    looked_ms = clock.time_ms()
    await freshness.look()
    assert noted_ms(runtime) == began_ms
    looked_at_s = clock.monotonic()
    await scene.until(lambda: runtime.group.confirmed_at_s() > looked_at_s)
    clock.ahead_ms += DAY_MS  # suspended: what was seen before is all that is known
    await freshness.look()
    assert began_ms < looked_ms <= noted_ms(runtime) < looked_ms + DAY_MS
    clock.leapt_s += 60.0
    await freshness.look()
    assert noted_ms(runtime) < looked_ms + DAY_MS


async def with_holes(scene: Scene, clock: SettableClock) -> None:
    """Have the changelogs lose some records to compaction."""
    for number in (1, 2):
        await scene.append(*[number] * 7)
        await scene.until_done()
    await scene.log.clean(clock.time_ms())


async def test_a_standby_that_stood_still_begins_anew(
    scene: Scene, clock: SettableClock, told: pytest.LogCaptureFixture
):
    disk, here = MemoryStores(), await keeper(scene, clock, MemoryStores(), standby_replicas=1)
    there = await keeper(scene, clock, disk, standby_replicas=1)
    await scene.until(lambda: len(here.partitions) == len(there.partitions) == 1)

    def followed() -> bool:
        copies = there.statistics().standbys
        return len(copies) == 1 and copies[0].applied > 0 and copies[0].lag == {"sums": 0}

    await with_holes(scene, clock)
    await scene.until(followed)
    (number,) = {0, 1} - there.partitions.keys()
    warm = there._standbys.warm(number)
    assert warm is not None
    # As after a suspension of two days in which the changelog has forgotten a key that the copy has.
    warm.store.write({"sums": TableWrites([(b"ghost", b"1")], position=0)})
    noted = b"%d %d" % (clock.time_ms() - 2 * DAY_MS, DAY_MS)
    warm.store.write({FACTS_TABLE: TableWrites([(b"current sums", noted)])})
    there._standbys._copies[number].positions["sums"] = 0
    await scene.until(lambda: wiped(told) and followed())
    assert f"sums-changelog[{number}]" in wiped(told)
    assert warm.store.get("sums", b"ghost") is None


class Suspended(SettableClock):
    """A clock that is a day further at some of the looks at it."""

    def __init__(self, looks: Container[int]) -> None:
        self._leaps = looks
        self._looks = 0

    def time_ms(self) -> int:
        self._looks += 1
        if self._looks in self._leaps:
            self.ahead_ms += DAY_MS
        return super().time_ms()


@pytest.mark.parametrize(("leaps", "too_slow"), [({2}, False), (range(100), True)])
async def test_a_restore_that_stood_still_begins_anew_once(
    scene: Scene, clock: SettableClock, told: pytest.LogCaptureFixture, leaps: Container[int], too_slow: bool
):
    runtime = await keeper(scene, clock, MemoryStores())
    await with_holes(scene, clock)
    (spec,) = runtime._topics.tables(0).values()
    await scene.stop(runtime)
    told.clear()
    store, source = MemoryStores().open(DIRECTORY, 0, ["sums", FACTS_TABLE]), TopicPartition("sums-changelog", 0)
    store.write({"sums": TableWrites([(b"ghost", b"1")], position=0)})
    note_current(store, {"sums": spec}, clock.time_ms())
    slow = Suspended(leaps)
    await restore(scene.log, store, [spec], 0, bytes_max=1, clock=slow, progress=lambda done, total: None)
    assert store.position("sums") == (await scene.log.offsets([source]))[source].end
    assert dict(store.scan("sums")).items() <= (await scene.table()).items()
    assert len(re.findall("wiped and restored", told.text)) == 1
    assert ("Raise changelog_delete_retention_ms" in told.text) == too_slow


async def test_a_worker_with_global_tables_that_stood_still_ends(scene: Scene, clock: SettableClock):
    runtime = await keeper(scene, clock, MemoryStores())
    await scene.append(*range(1, 8))
    await scene.until_done()
    replicated = await until_followed(scene, runtime)
    await replicated.note_current()
    await replicated.note_current()
    clock.ahead_ms += DAY_MS
    await scene.append(*range(8, 15))  # nothing is missing between what was read and this
    await scene.until_done()
    await until_followed(scene, runtime)
    topic = f"(select id from topics where name = '{WORLD.changelog.name}')"
    await scene.log.write(lambda db: db.execute(f"update ranges set next = next + 5 where topic = {topic}"))
    await scene.append(*[0] * 7)
    with pytest.raises(StateCorruptedError, match="may have forgotten deletions"):
        await scene.until_ended(runtime)


async def test_a_wiping_of_a_global_table_that_was_cut_off_is_done_again(scene: Scene, clock: SettableClock):
    stores = MemoryStores()
    runtime = await keeper(scene, clock, stores)
    await scene.append(*range(1, 15))
    await scene.until_done()
    replicated = await until_followed(scene, runtime)
    replicated.store.write({"world": TableWrites([(b"ghost", b"1")])})
    replicated.store.wipe("world@0")
    await scene.stop(runtime)
    runtime = await keeper(scene, clock, stores)
    assert runtime.replicated is not None
    assert dict(runtime.replicated.store.scan("world")) == await scene.table("world")


async def test_a_partition_of_a_global_table_that_nothing_came_in_is_no_reason_to_wipe_it(
    scene: Scene, clock: SettableClock, told: pytest.LogCaptureFixture
):
    stores = MemoryStores()
    runtime = await keeper(scene, clock, stores)
    await scene.append(1, key=b"one key")
    await scene.until_done()
    replicated = await until_followed(scene, runtime)
    (empty,) = [source for source, end in replicated._followed.items() if end == 0]
    replicated.store.wipe(f"world@{empty.partition}")  # as versions left it that noted what came
    await scene.stop(runtime)
    told.clear()
    await scene.stop(await keeper(scene, clock, stores))
    assert wiped(told) == set()


async def test_a_global_table_that_takes_long_to_fill_ends_nobody(
    scene: Scene, clock: SettableClock, told: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    runtime = await keeper(scene, clock, MemoryStores())
    await with_holes(scene, clock)
    await scene.stop(runtime)
    read = SqliteLog.read

    async def slowly(log: Any, source: TopicPartition, offset: int, **options: Any) -> Any:
        if source.topic == WORLD.changelog.name and offset == 0:
            clock.ahead_ms += DAY_MS
        return await read(log, source, offset, **options)

    monkeypatch.setattr(SqliteLog, "read", slowly)
    runtime = await keeper(scene, clock, MemoryStores())
    assert "Raise changelog_delete_retention_ms" in told.text
    topic = f"(select id from topics where name = '{WORLD.changelog.name}')"
    await scene.log.write(lambda db: db.execute(f"update ranges set next = next + 5 where topic = {topic}"))
    await scene.append(*[3] * 7)
    await scene.until_done()
    await until_followed(scene, runtime)


async def test_a_global_table_that_is_declared_otherwise_is_filled_anew(scene: Scene, clock: SettableClock):
    stores = MemoryStores()
    runtime = await keeper(scene, clock, stores)
    await scene.append(*range(1, 15))
    await scene.until_done()
    replicated = await until_followed(scene, runtime)
    facts = json.loads(replicated.store.get(FACTS_TABLE, b"table world") or b"")
    other = json.dumps(facts | {"partitions": 1}).encode()
    replicated.store.write({FACTS_TABLE: TableWrites([(b"table world", other)])})
    await scene.stop(runtime)
    runtime = await keeper(scene, clock, stores)
    assert runtime.replicated is not None
    assert dict(runtime.replicated.store.scan("world")) == await scene.table("world") != {}


async def test_what_the_log_really_does_counts(scene: Scene, told: pytest.LogCaptureFixture):
    config = {"delete.retention.ms": "90000"}
    await scene.log.declare([TopicSpec(SUMS.changelog.name, PARTITIONS, cleanup_policy="compact", config=config)])
    told.set_level("WARNING", "pelton.runtime.topics")
    runtime = await scene.worker(agent(keep), tables=TABLES)
    assert runtime._topics.tables_declared["sums"].deletions_ms == 90_000
    assert "sums-changelog (90000 ms, not 86400000)" in told.text


def test_a_time_that_was_raised_counts_from_then_on() -> None:
    day, week = (
        TableSpec("t", TopicSpec("t", cleanup_policy="compact", config={"delete.retention.ms": str(days * DAY_MS)}))
        for days in (1, 7)
    )
    store = MemoryStores().open(DIRECTORY, 0, ["t", FACTS_TABLE])
    note_current(store, {"t": day}, 0)
    assert outdated(store, "t", week, 2 * DAY_MS)
    note_current(store, {"t": week}, 0)
    assert not outdated(store, "t", week, 2 * DAY_MS)
    never = TableSpec("t", TopicSpec("t", cleanup_policy="compact", config={"delete.retention.ms": "0"}))
    assert not outdated(store, "t", never, 2 * DAY_MS)
    assert outdated(store, "t", day, 2 * DAY_MS)
