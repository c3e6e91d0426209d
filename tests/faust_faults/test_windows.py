"""Faults 11 to 14 of Faust 0.15.3: windows."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

from pelton.window import window_key_suffix, window_start_of
from tests.compat.harness import until, worker
from tests.faust_faults.faults_scene import Scene, opened

KIB = 1024


def windowed(scene: Scene, place: str = "a", *, expires: float | None = 60.0) -> Any:
    """Return a worker that counts the events of each key in windows of 10 s of the log's time."""
    app = scene.app(place)
    table = app.Table("windows", default=int, key_type=str, partitions=scene.partitions)
    windows = table.tumbling(10.0, expires=expires).relative_to_stream()

    async def count(stream: Any) -> None:
        async for key, _ in stream.items():
            windows[key] += 1

    app.agent(app.topic(scene.name("events"), key_type=str, value_type=int), name="count")(count)
    return app


async def starts(scene: Scene) -> list[tuple[int, str]]:
    """Return (start in seconds, key) of each window that the changelog holds."""
    return sorted(
        (window_start_of(key) // 1000, window_key_suffix(key).decode()) for key in await scene.table("windows")
    )


async def test_11_a_table_without_expiry_remembers_every_write(broker_url: str, tmp_path: Path) -> None:
    """With `expires=None`, Faust's compiled window keeps an entry for expiry for each write, and never frees one.

    Here memory is that of the keys, however often they are written.
    """
    async with opened(broker_url, tmp_path) as scene:
        await scene.declare("events")
        app = windowed(scene, expires=None)
        async with worker(app):

            async def write(count: int) -> None:
                for _ in range(count // 2_000):
                    await scene.send("events", ((f"key-{n % 10}", n) for n in range(2_000)))
                await scene.until_done("events")

            tracemalloc.start()
            try:
                await write(4_000)
                before = tracemalloc.get_traced_memory()[0]
                await write(40_000)
                # One entry a write would be five times that, for ever; what the last commit holds, it lets go of.
                await until(lambda: tracemalloc.get_traced_memory()[0] - before < 512 * KIB, "memory to be let go of")
            finally:
                tracemalloc.stop()
        assert sum((await scene.table("windows")).values()) == 44_000


async def test_12_windows_close_in_one_partition_only(broker_url: str, tmp_path: Path) -> None:
    """Faust remembers the last window that closed for all partitions: the same window of the others never closes.

    Here each partition has its own time, and its windows expire by it.
    """
    async with opened(broker_url, tmp_path, partitions=2) as scene:
        await scene.declare("events")
        async with worker(windowed(scene)):
            keys = [f"key-{n}" for n in range(8)]  # in both partitions
            for at in (1_000.0, 1_010.0, 5_000.0):
                await scene.send("events", [(key, 1) for key in keys], ts=at)
                await scene.until_done("events")
        assert {record.partition for record in await scene.records("events")} == {0, 1}
        assert await starts(scene) == [(5_000, key) for key in keys]


async def test_13_expired_windows_stay_in_the_changelog(broker_url: str, tmp_path: Path) -> None:
    """Faust deletes expired windows without telling the changelog, and windows that it restores never expire.

    Here a tombstone follows, and restored windows expire as the others do.
    """
    async with opened(broker_url, tmp_path) as scene:
        await scene.declare("events")
        async with worker(windowed(scene)):
            for at in (1_000.0, 1_010.0, 1_040.0):
                await scene.send("events", [("k", 1)], ts=at)
                await scene.until_done("events")
        assert await starts(scene) == [(1_000, "k"), (1_010, "k"), (1_040, "k")]
        async with worker(windowed(scene, "another machine")) as _:
            await scene.send("events", [("k", 1)], ts=1_085.0)  # 1,000 to 1,010 ended 75 s ago, and 1,010 to 1,020 65 s
            await scene.until_done("events")
            assert await starts(scene) == [(1_040, "k"), (1_080, "k")]
        tombstones = [r.key for r in await scene.records("windows-changelog") if r.value is None and r.key is not None]
        assert sorted(map(window_start_of, tombstones)) == [1_000_000, 1_010_000]


async def test_14_windows_end_early_and_small_steps_fail(broker_url: str, tmp_path: Path) -> None:
    """Faust's windows end 0.1 s early, so an event there is in none; and a step below a second is a ValueError.

    Here a window is [start, start + size), and sizes go down to milliseconds.
    """
    async with opened(broker_url, tmp_path) as scene:
        await scene.declare("events")
        app = scene.app()
        tens = app.Table("tens", default=int, key_type=str, partitions=1).tumbling(10).relative_to_field("at")
        hops = app.Table("hops", default=int, key_type=str, partitions=1).hopping(1, 0.25).relative_to_field("at")
        seen: list[tuple[int, int]] = []

        async def count(stream: Any) -> None:
            async for _ in stream:
                tens["k"] += 1
                hops["k"] += 1
                seen.append((tens["k"].current(), hops["k"].current()))

        app.agent(app.topic(scene.name("events"), value_type=dict), name="count")(count)
        async with worker(app):
            await scene.send("events", [("k", {"at": at}) for at in (10.0, 19.95, 19.999, 20.0, 20.3)])
            await until(lambda: len(seen) == 5)
            await scene.until_done("events")
        # The windows of a second that begin at 19.75 and at 20.25 hold two events and one.
        assert seen == [(1, 1), (2, 1), (3, 2), (1, 1), (2, 1)]
