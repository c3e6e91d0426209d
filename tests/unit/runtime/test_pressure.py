"""Limits in bytes: what is staged, what is decoded, what is cached."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from pelton.clock import SystemClock
from pelton.codec import codec_for
from pelton.config import EngineConfig
from pelton.log.contract import TopicSpec
from pelton.runtime.concurrent import ConcurrentTask
from pelton.runtime.pressure import SLOW_S, Pressure
from pelton.runtime.runtime import Runtime
from pelton.runtime.source import SharedBatch
from pelton.runtime.spec import SourceSpec
from pelton.state.cache import TableCache
from pelton.state.contract import TableWrites
from pelton.state.memory import MemoryStores
from tests.unit.runtime.runtime_scene import TOPIC, Commit, Scene, agent, opened
from tests.unit.runtime.task_rig import lane, numbers, send

KIB = 1024
LIMIT = 64 * KIB


@pytest_asyncio.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with opened(tmp_path) as one:
        yield one


def test_reports_are_counted_when_they_reach_the_limit() -> None:
    staged, counts = 0, 0

    def count() -> int:
        nonlocal counts
        counts += 1
        return staged

    pressure = Pressure(EngineConfig(commit_bytes_max=LIMIT), count)
    pressure.report(LIMIT - 1)
    assert not pressure.full()
    assert counts == 0
    pressure.report(1)
    assert not pressure.full()  # it was one key, written again and again
    staged = LIMIT // 2
    pressure.report(LIMIT)
    counted = counts
    assert [pressure.full() for _ in range(60)] == [True] * 60
    assert counts == counted + 1, "sixty tasks that wait for a commit do not each have everything counted"
    assert not pressure.room.is_set()
    pressure.taken()
    assert not pressure.full()
    assert pressure.room.is_set()


def test_a_slow_commit_lowers_the_limit_and_quick_ones_bring_it_back() -> None:
    pressure = Pressure(EngineConfig(commit_bytes_max=16 * LIMIT), lambda: 0)

    def commit(nbytes: int, elapsed_s: float, *, failed: bool = False) -> int:
        pressure.report(nbytes)
        pressure.taken()
        pressure.ended(elapsed_s, failed=failed)
        return pressure.limit // LIMIT

    assert commit(16 * LIMIT, SLOW_S) == 8
    assert commit(99 * LIMIT, SLOW_S, failed=True) == 2, "it failed, too"
    assert [commit(LIMIT, 0.1) for _ in range(3)] == [3, 4, 5]
    assert commit(4 * LIMIT, 3 * SLOW_S, failed=True) == 1, "it was less than might have been, and too much"
    assert commit(LIMIT, SLOW_S, failed=True) == 1, "less is no use"
    assert commit(LIMIT, 0.1, failed=True) == 1, "it was not the size"
    assert [commit(LIMIT, 0.1) for _ in range(17)] == [*range(2, 17), 16, 16]


class AheadClock(SystemClock):
    """A clock that can be put forward."""

    ahead_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead_s


async def test_what_is_too_much_for_one_transaction_is_committed_in_several(scene: Scene) -> None:
    """As on Kafka, which aborts what takes longer than the transaction's timeout, and fences the producer."""
    clock, events, bytes_max = AheadClock(), 600, 10 * LIMIT

    async def echo(stream: Any) -> Any:
        async for number in stream:
            yield f"{number:>4096}"

    async def timed(commit: Commit) -> Sequence[int]:
        scene.troubles.commits.append(timed)
        if sum(len(value or b"") for batch in scene.troubles.writes[-1] for value in batch.values) > bytes_max:
            clock.ahead_s += 15
            await scene.expel()
        return await commit()

    scene.troubles.commits = [timed]
    await scene.append(*range(events))
    runtime = await scene.worker(agent(echo), clock=clock, commit_bytes_max=16 * LIMIT, commit_interval_ms=60_000)
    await scene.until_done()
    scene.troubles.commits.clear()
    await scene.stop(runtime)
    assert await scene.values() == list(range(events))
    assert runtime.statistics().commit_failures >= 1


def test_partitions_share_a_workers_limits() -> None:
    pressure = Pressure(EngineConfig(task_queue_bytes_max=8 << 20, fetch_bytes_max=8 << 20), lambda: 0)
    assert [pressure.queue_bytes_max(count) for count in (0, 1, 8, 1000)] == [8 << 20, 8 << 20, 1 << 20, LIMIT]
    assert pressure.fetch_bytes_max(8, 8) == 8 << 20
    assert pressure.fetch_bytes_max(1, 8) == 1 << 20
    assert pressure.fetch_bytes_max(0, 0) == LIMIT


@pytest.mark.parametrize("concurrency", [1, 3])
@pytest.mark.parametrize("way", ["sends", "writes"])
async def test_agents_wait_when_a_commit_takes_long(scene: Scene, way: str, concurrency: int) -> None:
    """The commit under way holds one limit, what is staged behind it another; then nothing more is done."""
    under_way, gate = asyncio.Event(), asyncio.Event()

    async def slow(commit: Commit) -> Sequence[int]:
        under_way.set()
        await gate.wait()
        return await commit()

    async def blow_up(stream: Any) -> None:
        async for number in stream:
            if way == "sends":
                send(number, "out")
            else:
                lane().tables["sums"].put(b"%d" % number, b"x" * 100)

    scene.troubles.commits = [slow]
    runtime = await scene.worker(agent(blow_up, concurrency=concurrency), commit_bytes_max=LIMIT, slice_ms=1)
    await scene.append(0)
    await under_way.wait()
    for first in range(1, 3_000, 500):
        await scene.append(*range(first, first + 500))
    try:
        await scene.until(lambda: runtime._pressure.full() and at_rest(runtime))
        staged = runtime._staged_bytes()
        assert LIMIT // 2 <= staged < 40 * LIMIT
        await asyncio.sleep(0.1)  # nothing more is staged, however long one waits
        assert runtime._staged_bytes() == staged
    finally:
        gate.set()
    await scene.until_done()
    assert runtime._staged_bytes() == 0


def at_rest(runtime: Runtime) -> bool:
    """Whether the agents have come to the end of all that was handed to them, and what came of it is staged."""
    tasks = [task for partition in runtime.partitions.values() for task in partition.tasks]
    if any(isinstance(task, ConcurrentTask) and task._round_start for task in tasks):
        return False
    return not any(True for task in tasks for _ in task._unfinished())


async def test_enough_bytes_are_committed_before_their_time(scene: Scene) -> None:
    """The log is not at its end and it is not time, so nothing but the bytes asks for a commit."""
    gate = asyncio.Event()

    async def echo(stream: Any) -> Any:
        async for number in stream:
            if number == 2_999:
                await gate.wait()
            yield number

    runtime = await scene.worker(agent(echo), commit_interval_ms=60_000, commit_bytes_max=LIMIT)
    await scene.append(*range(3_000), key=b"k")
    await scene.until(lambda: runtime.statistics().commits > 0)
    gate.set()
    await scene.until_done()


def test_what_is_decoded_is_kept_while_an_agent_is_at_it() -> None:
    shared = SharedBatch(numbers(1, 2, 3))
    source = SourceSpec(TopicSpec(TOPIC, 1), codec_for(str, role="key"), codec_for(int))
    one, two = shared.decode(source), shared.decode(source)
    assert one.values is two.values
    del one, two
    gc.collect()
    assert not shared._decoded
    assert list(shared.decode(source).values) == [1, 2, 3]


def test_a_cache_that_only_reads_is_bounded() -> None:
    store = MemoryStores().open(Path("/"), 0, ["t"])
    store.write({"t": TableWrites(puts=[(b"%04d" % n, b"x" * 1_000) for n in range(1_000)])})
    cache = TableCache("t", store, bytes_max=100_000)
    cache.merge({b"mine": b"new"})
    cache.take()
    for number in range(1_000):
        cache.get(b"%04d" % number)
        assert cache.statistics().nbytes < 103_000
    assert cache.get(b"mine") == b"new"  # the commit is under way: the store does not have it yet


def test_a_cache_full_of_what_a_commit_has_taken_keeps_it() -> None:
    store = MemoryStores().open(Path("/"), 0, ["t"])
    cache = TableCache("t", store, bytes_max=1_000)
    cache.merge({b"%04d" % n: b"x" * 1_000 for n in range(100)})
    cache.take()
    for number in range(1_000):
        cache.get(b"none-%04d" % number)
    assert all(cache.get(b"%04d" % n) == b"x" * 1_000 for n in range(100))
