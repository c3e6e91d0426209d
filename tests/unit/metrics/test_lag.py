"""When a partition's records were written, as its growth tells; and a worker's lag, watched on its own log."""

from __future__ import annotations

import asyncio
from pathlib import Path

from pelton.clock import SystemClock
from pelton.log.sqlite import SqliteLog
from pelton.metrics.lag import Growth, LagWatch, PartitionLag
from pelton.stream.stream import Stream
from tests.integration.worker_scene import WorkerScene


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
