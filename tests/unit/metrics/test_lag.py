"""When a partition's records were written, as its growth tells; and a worker's lag, watched on its own log."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pelton.clock import SystemClock
from pelton.log.sqlite import SqliteLog
from pelton.metrics.lag import Growth, LagWatch, PartitionLag
from pelton.stream.stream import Stream
from tests.integration.worker_scene import Agent, WorkerScene


def test_growth_tells_when_a_record_was_written() -> None:
    growth = Growth()
    for end, time_ms in ((100, 0), (100, 1_000), (300, 2_000), (300, 3_000), (300, 4_000), (310, 5_000)):
        growth.observe(end, time_ms)
    assert growth.written_ms(99) is None, "it was there before anybody looked"
    assert growth.written_ms(100) == 1_000
    assert growth.written_ms(200) == 1_500
    assert growth.written_ms(300) == 4_000, "until then it was known to be the end"
    assert growth.written_ms(305) == 4_500
    assert growth.written_ms(310) is None, "it does not exist yet"


async def test_a_worker_that_stands_still_is_behind_until_it_goes_on(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "log.sqlite")
    await log.open()
    scene = WorkerScene(log)
    going = asyncio.Event()

    async def obey(stream: Stream[bytes]) -> None:
        async for value in stream:
            if value == b"wait":
                await going.wait()

    try:
        runtime = await scene.start(obey)
        watch = LagWatch(runtime, log, SystemClock())

        async def until(committed: int, lag: int) -> PartitionLag:
            await scene.until(lambda: [(one.committed, one.lag) for one in watch.lags] == [(committed, lag)])
            return watch.lags[0]

        await scene.append(b"one")
        done = await until(1, 0)
        assert (done.topic, done.end, done.lag_s, done.status) == (scene.orders, 1, 0.0, "OK")
        await scene.append(b"wait", b"two")
        behind = await until(1, 2)
        assert behind.lag_s >= 0
        await scene.until(lambda: watch.lags[0].lag_s > max(1.0, behind.lag_s))
        going.set()
        await until(3, 0)
        await scene.stop(runtime)
        await scene.until(lambda: not watch.lags)
        assert watch.crash() is None
        await watch.close()
    finally:
        await log.close()


class LaterClock(SystemClock):
    """The system's clock, put forward."""

    later_ms = 0

    def time_ms(self) -> int:
        return super().time_ms() + self.later_ms


async def gather(stream: Stream[bytes]) -> None:
    async for _ in stream.take(100, within=3600):
        pass


async def wait(stream: Stream[bytes]) -> None:
    async for _ in stream:
        await asyncio.Event().wait()


@pytest.mark.parametrize(("agent", "gathers_s", "status"), [(gather, 3600, "OK"), (wait, 0, "STOP")])
async def test_what_an_agent_gathers_does_not_stand_still(
    agent: Agent, gathers_s: float, status: str, tmp_path: Path
) -> None:
    log, clock = SqliteLog(tmp_path / "log.sqlite"), LaterClock()
    await log.open()
    scene = WorkerScene(log)
    try:
        runtime = await scene.start(agent)
        watch = LagWatch(runtime, log, clock)
        await scene.append(b"one")
        await scene.until(lambda: [one.lag for one in watch.lags] == [1])
        (partition,) = runtime.partitions.values()
        await scene.until(lambda: [*map(partition.gathers_s, partition.standing())] == [gathers_s])
        clock.later_ms = 60_000
        await scene.until(lambda: watch.lags[0].lag_s > 59)
        assert watch.lags[0].status == status
        await watch.close()
        await scene.stop(runtime)
    finally:
        await log.close()
