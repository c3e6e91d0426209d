"""Faults 1 to 10 of Faust 0.15.3: what it loses, doubles, or lets diverge."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

from tests.compat.harness import until, worker
from tests.faust_faults.faults_scene import Counting, Record, eventually, opened


async def test_01_rebalances_drop_acknowledgements(broker_url: str, tmp_path: Path) -> None:
    """Faust forgets at every rebalance what was acknowledged and not committed yet, and processes it again.

    Here events under way are committed before their partition goes: two rebalances double nothing.
    """
    async with opened(broker_url, tmp_path, partitions=2) as scene:
        await scene.declare("events")
        first, second = Counting(scene, "a"), Counting(scene, "b")
        async with worker(first.app):
            await scene.send("events", ((f"key-{n % 10}", n) for n in range(2_000)))
            async with worker(second.app):
                await scene.send("events", ((f"key-{n % 10}", n) for n in range(2_000, 4_000)))
                await until(lambda: len(first.numbers) == len(second.numbers) == 1)
                await scene.send("events", ((f"key-{n % 10}", n) for n in range(4_000, 6_000)))
                await until(lambda: second.seen)
            await scene.send("events", ((f"key-{n % 10}", n) for n in range(6_000, 8_000)))
            await scene.until_done("events")
        assert await scene.values("copies") == list(range(8_000))
        assert await scene.table("counts") == {b"key-%d" % n: 800 for n in range(10)}


async def test_02_offsets_are_committed_ahead_of_the_changelog(broker_url: str, tmp_path: Path) -> None:
    """Faust commits offsets although changelog records are still in its buffer: a crash then loses their updates.

    Here both are one transaction: whoever looks at any moment sees as many counted as committed.
    """
    async with opened(broker_url, tmp_path) as scene:
        await scene.declare("events")
        counting = Counting(scene, commit_interval_ms=10)
        looks = 0
        async with worker(counting.app):
            for first in range(0, 3_000, 100):
                await scene.send("events", (("k", n) for n in range(first, first + 100)))
                before = await scene.position("events")
                counted = (await scene.table("counts")).get(b"k", 0)
                assert before <= counted <= await scene.position("events")
                looks += 0 < counted < 3_000
            await scene.until_done("events")
        assert looks > 3
        assert await scene.table("counts") == {b"k": 3_000}


async def test_03_a_changelog_that_refuses_a_record_is_only_logged(broker_url: str, tmp_path: Path) -> None:
    """Faust logs that the changelog did not take an update, and commits the event's offset all the same.

    Here the event is dead-lettered, with all of its effects undone, and the reason beside it.
    """
    async with opened(broker_url, tmp_path) as scene:
        await scene.declare("events")
        app = scene.app()
        limit = {"max.message.bytes": "2000"}
        texts = app.Table("texts", default=str, key_type=str, partitions=1, extra_topic_configs=limit)

        async def keep(stream: Any) -> None:
            async for key, text in stream.items():
                texts[key] = text

        app.agent(app.topic(scene.name("events"), key_type=str, value_type=str), name="keep")(keep)
        async with worker(app):
            await scene.send("events", [("a", "1"), ("b", "2")])
            await scene.until_done("events")
            noise = random.Random(1).randbytes(20_000).hex()  # which no compression makes small
            await scene.send("events", [("c", noise), ("d", "4")])
            await scene.until_done("events")
            assert app.statistics().dead_lettered == 1
        (letter,) = await scene.records("dlq")
        assert letter.key == b"c"
        assert b"RecordTooLargeError" in dict(letter.headers)["pelton-dlq-error"]
        assert await scene.table("texts") == {b"a": "1", b"b": "2", b"d": "4"}


async def test_04_the_commit_jumps_over_the_first_unfinished_event(broker_url: str, tmp_path: Path) -> None:
    """With concurrency, Faust commits past an event at the head that is not done, when later ones are.

    Here the position stays in front of it, and a restart hands it out again.
    """
    async with opened(broker_url, tmp_path) as scene:
        await scene.declare("events")
        await _restart_with_one_unfinished(scene, unfinished=0)


async def test_05_the_commit_takes_an_unfinished_event_for_a_gap(broker_url: str, tmp_path: Path) -> None:
    """Where offsets are missing (compacted, aborted), Faust counts the event behind the gap as done before it is.

    Here a gap moves the position up to the next event, and no further.
    """
    async with opened(broker_url, tmp_path) as scene:
        await scene.declare("events")
        await scene.send("events", [("k", number) for number in (100, 101)])
        await scene.hole("events", 7)
        await _restart_with_one_unfinished(scene, unfinished=0)


async def _restart_with_one_unfinished(scene: Any, unfinished: int) -> None:
    """Stop a worker in the middle of one event of several; a second one must do it, and nothing twice."""
    numbers = [("abcdefgh"[n % 8], n) for n in range(40)]
    await scene.send("events", numbers)
    before = len(await scene.records("events")) - len(numbers)
    stuck = Counting(scene, concurrency=4)
    stuck.gates[unfinished] = asyncio.Event()
    async with worker(stuck.app):
        await until(lambda: len(stuck.seen) >= before + 8)
    assert [record.value for record in await scene.records("copies")].count(b"%d" % unfinished) == 0
    ahead = [r.offset for r in await scene.records("events") if r.value == b"%d" % unfinished]
    assert await scene.position("events") <= ahead[0]
    again = Counting(scene, concurrency=4)
    async with worker(again.app):
        await scene.until_done("events")
    assert unfinished in again.seen
    assert [n for n in await scene.values("copies") if n < 100] == list(range(40))
    assert sum((await scene.table("counts")).values()) == len(await scene.records("events"))


async def test_06_an_event_that_fails_is_skipped(broker_url: str, tmp_path: Path) -> None:
    """Faust acknowledges an event whose agent raises, and one that cannot be decoded ends the agent for a while.

    Here the first is tried again, then dead-lettered, as the second is at once; the others are processed.
    """
    async with opened(broker_url, tmp_path) as scene:
        await scene.declare("events")
        app = scene.app()
        attempts: dict[int, int] = {}
        copies = app.topic(scene.name("copies"), value_type=int, partitions=1)

        async def fail(stream: Any) -> Any:
            async for number in stream:
                attempts[number] = attempts.get(number, 0) + 1
                if number == 3 or (number == 4 and attempts[number] == 1):
                    raise ValueError(f"cannot bear {number}")
                yield number

        app.agent(app.topic(scene.name("events"), value_type=int), sink=[copies], name="fail")(fail)
        async with worker(app):
            await scene.send("events", [("k", n) for n in (1, b"{", 2, 3, b"\xff", 4, 5)], headers=(("trace", b"7"),))
            await scene.until_done("events")
        assert await scene.values("copies") == [1, 2, 4, 5]
        letters: list[Record] = await scene.records("dlq")
        assert [letter.value for letter in letters] == [b"{", b"3", b"\xff"]
        assert all(letter.headers[0] == ("trace", b"7") for letter in letters)
        assert attempts == {1: 1, 2: 1, 3: 4, 4: 2, 5: 1}


async def test_07_a_table_on_rocksdb_is_in_memory(broker_url: str, tmp_path: Path) -> None:
    """Faust takes `app.Table(store="rocksdb://")` and keeps the table in memory, without a word.

    Here tables are in RocksDB: a restart finds its state on the disk, and replays nothing.
    """
    async with opened(broker_url, tmp_path) as scene:
        await scene.declare("events")
        app = scene.app()
        totals = app.Table("totals", default=int, key_type=str, partitions=1, store="rocksdb://")

        async def add(stream: Any) -> None:
            async for key, number in stream.items():
                totals[key] += number

        app.agent(app.topic(scene.name("events"), key_type=str, value_type=int), name="add")(add)
        async with worker(app):
            await scene.send("events", [(f"key-{n % 7}", n) for n in range(500)])
            await scene.until_done("events")
        assert list((tmp_path / "a").rglob("CURRENT"))
        again = Counting(scene, agent_retries_max=0)  # another program on the same disk, to look at what it holds
        again.app.Table("totals", default=int, key_type=str, partitions=1)
        async with worker(again.app):
            (partition,) = again.app.statistics().partitions
            assert partition.restored <= 1  # on Kafka, the marker behind the last transaction
            assert sum(again.app.tables["totals"].values()) == sum(range(500))


async def test_08_what_an_unfinished_event_sent_is_published(broker_url: str, tmp_path: Path) -> None:
    """With `stream_publish_on_commit`, Faust publishes with one event's commit what the next has sent so far.

    Here a message becomes visible with its own event.
    """
    async with opened(broker_url, tmp_path) as scene:
        await scene.declare("events")
        counting = Counting(scene, commit_interval_ms=10)
        counting.gates[2] = asyncio.Event()
        async with worker(counting.app):
            await scene.send("events", [("k", n) for n in range(4)])
            await until(lambda: 2 in counting.seen)

            async def two_committed() -> bool:
                return await scene.position("events") == 2

            await eventually(two_committed)
            assert await scene.values("copies") == [0, 1]
            counting.gates[2].set()
            await scene.until_done("events")
        assert await scene.values("copies") == [0, 1, 2, 3]


async def test_09_rows_of_a_standby_vanish(broker_url: str, tmp_path: Path) -> None:
    """Faust clears a queue that holds rows for its standby tables, and counts them as read.

    Here a worker that takes a partition over has every row of it, whatever it kept before.
    """
    async with opened(broker_url, tmp_path, partitions=2) as scene:
        await scene.declare("events")
        first = Counting(scene, "a", table_standby_replicas=1)
        second = Counting(scene, "b", table_standby_replicas=1)
        async with worker(second.app):
            async with worker(first.app):
                await until(lambda: len(first.numbers) == len(second.numbers) == 1)
                for lot in range(0, 2_000, 200):
                    await scene.send("events", ((f"key-{n}", n) for n in range(lot, lot + 200)))
                await scene.until_done("events")
            await until(lambda: len(second.numbers) == 2)
            assert dict(second.counts.items()) == {f"key-{n}": 1 for n in range(2_000)}


async def test_10_keys_come_back_and_keys_get_lost(broker_url: str, tmp_path: Path) -> None:
    """Faust's memory store keeps keys of partitions that left, and drops a key that was deleted and set to 0 again.

    Here a partition that comes back is as its last owner left it, and a restored one too.
    """
    async with opened(broker_url, tmp_path, partitions=2) as scene:
        await scene.declare("events")
        apps = [_deleting(scene, place) for place in "ab"]
        async with worker(apps[0]):
            await scene.send("events", [(f"key-{n}", 1) for n in range(40)])
            await scene.until_done("events")
            async with worker(apps[1]):
                await until(lambda: len([p for p in apps[1].statistics().partitions if p.state == "running"]) == 1)
                await scene.send("events", [(f"key-{n}", -1) for n in range(30)])
                await scene.send("events", [(f"key-{n}", 0) for n in range(10)])
                await scene.until_done("events")
            wanted = {f"key-{n}": 0 for n in range(10)} | {f"key-{n}": 1 for n in range(30, 40)}
            await until(lambda: len([p for p in apps[0].statistics().partitions if p.state == "running"]) == 2)
            assert dict(apps[0].tables["kept"].items()) == wanted
        fresh = _deleting(scene, "c")
        async with worker(fresh):
            assert dict(fresh.tables["kept"].items()) == wanted


def _deleting(scene: Any, place: str) -> Any:
    """Return a worker that keeps the last number of each key; -1 deletes it."""
    app = scene.app(place)
    kept = app.Table("kept", default=int, key_type=str, partitions=scene.partitions)

    async def keep(stream: Any) -> None:
        async for key, number in stream.items():
            if number < 0:
                del kept[key]
            else:
                kept[key] = number

    app.agent(app.topic(scene.name("events"), key_type=str, value_type=int), name="keep")(keep)
    return app
