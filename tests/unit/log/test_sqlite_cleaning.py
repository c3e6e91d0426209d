"""Retention and compaction of the embedded log."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from pelton.batch import OutgoingBatch, TopicPartition
from pelton.errors import OffsetOutOfRangeError
from pelton.log.contract import TopicSpec
from pelton.log.sqlite import SqliteLog, blob, cleaning
from pelton.log.sqlite.database import Database
from tests.unit.log.scene import DAY_MS, SOURCE, Row, SettableClock, batch_of, join, rows


def fold(records: list[Row]) -> dict[bytes | None, tuple[int, bytes | None]]:
    """Return the last record of each key."""
    return {key: (offset, value) for offset, key, value in records}


# Retention


async def test_retention_goes_by_when_a_batch_came(log: SqliteLog, clock: SettableClock) -> None:
    kept = TopicPartition("kept", 0)
    await log.declare([TopicSpec("t", 1, retention_ms=DAY_MS), TopicSpec("kept", 1, retention_ms=-1)])
    await log.append([batch_of([(b"old", b"1"), (b"older", b"2")]), OutgoingBatch(*kept, [b"k"], [b"v"], [0])])
    clock.ahead_ms = DAY_MS // 2
    await log.append([batch_of([(b"new", b"3")])])
    await log.clean(clock.time_ms())
    assert len(await rows(log)) == 3
    clock.ahead_ms = DAY_MS + 1000
    await log.clean(clock.time_ms())
    assert await rows(log) == [(2, b"new", b"3")]
    assert await log.append([batch_of([(b"newer", b"4")])]) == [3]
    with pytest.raises(OffsetOutOfRangeError):
        await log.read(SOURCE, 1, bytes_max=100, timeout_s=1)
    clock.ahead_ms = 9 * DAY_MS
    await log.clean(clock.time_ms())
    assert await log.offsets([SOURCE, kept]) == {SOURCE: (4, 4), kept: (0, 1)}
    assert await log.append([batch_of([(b"last", b"5")])]) == [4]


async def test_retention_is_many_small_steps(log: SqliteLog, clock: SettableClock) -> None:
    await log.declare([TopicSpec("t", 1, retention_ms=1000)])
    for _ in range(20):
        await log.append([batch_of([(b"k", b"v")]) for _ in range(100)])
    clock.ahead_ms = 10_000
    writer = log._open.writer
    steps = cleaning.Cleaner(writer.db).steps(clock.time_ms())
    assert await writer.run(lambda: sum(1 for _ in steps)) >= 2000 // 512
    assert await log.offsets([SOURCE]) == {SOURCE: (2000, 2000)}


async def test_a_group_is_told_what_was_trimmed(log: SqliteLog, clock: SettableClock) -> None:
    await log.declare([TopicSpec("t", 1, retention_ms=1000)])
    member = await join(log)
    await member.fetch(bytes_max=1000, timeout_s=0)
    member.pause([SOURCE])
    await log.append([batch_of([(b"a", b"1")])])
    clock.ahead_ms = 10_000
    await log.clean(clock.time_ms())
    member.resume([SOURCE])
    with pytest.raises(OffsetOutOfRangeError) as caught:
        await member.fetch(bytes_max=1000, timeout_s=1)
    assert caught.value.offset == 0


# Compaction


@pytest.fixture
async def compacted(log: SqliteLog, monkeypatch: pytest.MonkeyPatch) -> SqliteLog:
    """A compacted topic that is cleaned however small it is."""
    monkeypatch.setattr(cleaning, "_COMPACT_RECORDS_MIN", 0)
    await log.declare([TopicSpec("t", 1, cleanup_policy="compact")])
    return log


async def test_gaps_are_left_and_the_last_value_of_each_key(
    compacted: SqliteLog, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blob, "ROW_RECORDS_MAX", 8)
    log, random = compacted, Random(7)
    for _ in range(30):
        await log.append([batch_of((b"%d" % random.randrange(20), random.randbytes(8)) for _ in range(10))])
    await log.append([batch_of([(b"3", None)])])
    before = await rows(log)
    await log.clean(clock.time_ms())
    after = await rows(log)
    assert fold(after) == fold(before)
    assert len(after) == len(fold(before)) < len(before)
    assert await log.offsets([SOURCE]) == {SOURCE: (0, 301)}
    # From any offset, by any step, a reader sees the same, and always gets on.
    assert await rows(log, bytes_max=1) == after
    for offset in range(0, 301, 7):
        batch = await log.read(SOURCE, offset, bytes_max=1, timeout_s=1)
        assert list(batch.offsets)[:1] == [one for one, _, _ in after if one >= offset][:1]


async def test_offset_at_looks_past_what_was_compacted(compacted: SqliteLog, clock: SettableClock) -> None:
    # The row that reached the time first has lost that record; a later row has one.
    rows_max = blob.ROW_RECORDS_MAX
    await compacted.append(
        [
            OutgoingBatch(
                *SOURCE,
                [b"a"] + [b"%d" % n for n in range(rows_max)],
                [b"v"] * (rows_max + 1),
                [9000] + [1000] * rows_max,
            )
        ]
    )
    await compacted.append([OutgoingBatch(*SOURCE, [b"a"], [b"w"], [9000])])
    assert await compacted.offset_at(SOURCE, 5000) == 0
    await compacted.clean(clock.time_ms())
    assert await compacted.offset_at(SOURCE, 5000) == rows_max + 1


async def test_small_rows_become_large_ones(compacted: SqliteLog, clock: SettableClock) -> None:
    for number in range(300):
        await compacted.append([batch_of([(b"%d" % number, b"v")])])
    before = await rows(compacted)
    await compacted.clean(clock.time_ms())
    assert await rows(compacted) == before
    assert await compacted.query(lambda db: db.execute("SELECT count(*) FROM batches").fetchone()[0]) == 1


async def test_headers_and_times_stay_with_their_records(compacted: SqliteLog, clock: SettableClock) -> None:
    batch = OutgoingBatch(*SOURCE)
    for number in range(6):
        batch.append(b"%d" % (number % 3), b"%d" % number, number, (("n", b"%d" % number),) if number % 2 else ())
    await compacted.append([batch])
    await compacted.append([batch_of([(b"2", b"new")])])
    await compacted.clean(clock.time_ms())
    found = await compacted.read(SOURCE, 0, bytes_max=1 << 20, timeout_s=1)
    assert found.headers is not None
    assert list(zip(found.offsets, found.values, found.timestamps_ms, found.headers, strict=True)) == [
        (3, b"3", 3, (("n", b"3"),)),
        (4, b"4", 4, ()),
        (6, b"new", 1000, ()),
    ]


async def test_tombstones_go_after_a_day(compacted: SqliteLog, clock: SettableClock) -> None:
    await compacted.append([batch_of([(b"a", b"1"), (b"b", b"2"), (b"a", None)])])
    await compacted.clean(clock.time_ms())
    assert await rows(compacted) == [(1, b"b", b"2"), (2, b"a", None)]
    clock.ahead_ms = DAY_MS + 1000
    new = [(b"c", b"3"), (b"d", b"4"), (b"e", b"5")]
    await compacted.append([batch_of(new)])
    await compacted.clean(clock.time_ms())
    assert [row[1:] for row in await rows(compacted)] == [(b"b", b"2"), *new]


async def test_who_reads_while_a_tombstone_is_cleaned_hears_of_it(
    compacted: SqliteLog, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await compacted.append([batch_of([(b"a", b"1"), (b"b", b"2")])])
    await compacted.append([batch_of([(b"a", None)])])
    clock.ahead_ms = 2 * DAY_MS  # nobody has cleaned for longer than tombstones stay
    await compacted.append([batch_of([(b"c", b"3")])])
    begun = await compacted.read(SOURCE, 0, bytes_max=1, timeout_s=1)
    assert (begun.keys[0], begun.values[0]) == (b"a", b"1")
    await compacted.clean(clock.time_ms())
    assert await rows(compacted) == [(1, b"b", b"2"), (2, b"a", None), (3, b"c", b"3")]
    for key in (b"d", b"e", b"f", b"g", b"h", b"i"):
        clock.ahead_ms += DAY_MS // 4
        await compacted.append([batch_of([(key, b"")] * 9)])
        await compacted.clean(clock.time_ms())
    assert (b"a", None) not in [row[1:] for row in await rows(compacted)]


async def test_how_long_tombstones_stay_is_the_topics_own_matter(
    compacted: SqliteLog, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await compacted.delete_topics(["t"])
    config = {"delete.retention.ms": "60000"}
    await compacted.declare([TopicSpec("t", 1, cleanup_policy="compact", config=config)])
    await compacted.append([batch_of([(b"a", b"1"), (b"b", b"2"), (b"a", None)])])
    await compacted.clean(clock.time_ms())
    clock.ahead_ms = 61_000
    await compacted.append([batch_of([(b"c", b"1"), (b"c", b"2"), (b"c", b"3")])])
    await compacted.clean(clock.time_ms())
    assert [row[1:] for row in await rows(compacted)] == [(b"b", b"2"), (b"c", b"3")]
    assert (await compacted.states(["t"]))["t"].config["delete.retention.ms"] == "60000"
    await compacted.configure("t", {"delete.retention.ms": "3600000"})
    await compacted.append([batch_of([(b"c", None), (b"b", b"3"), (b"b", b"4")])])
    clock.ahead_ms = 130_000
    await compacted.clean(clock.time_ms())
    clock.ahead_ms = 200_000
    await compacted.append([batch_of([(b"d", b"4"), (b"e", b"5"), (b"f", b"6")])])
    await compacted.clean(clock.time_ms())
    assert (b"c", None) in [row[1:] for row in await rows(compacted)]


async def test_a_file_of_an_older_version_learns_it(log: SqliteLog, tmp_path: Path) -> None:
    await log.close()
    with closing(sqlite3.connect(tmp_path / "log.db")) as file:
        file.execute("DROP TABLE tombstones")
        file.execute("DROP TABLE cleaned")
    await log.open()
    await log.declare([TopicSpec("t", 1, cleanup_policy="compact", config={"delete.retention.ms": "7"})])
    assert (await log.states(["t"]))["t"].config["delete.retention.ms"] == "7"


async def test_few_large_records_are_compacted_too(log: SqliteLog, clock: SettableClock) -> None:
    await log.declare([TopicSpec("t", 1, cleanup_policy="compact")])
    for number in range(30):
        await log.append([batch_of([(b"%d" % (number % 3), bytes([number]) * 10_500)])])
    await log.clean(clock.time_ms())
    assert [offset for offset, _, _ in await rows(log)] == [27, 28, 29]
    for number in range(6):
        await log.append([batch_of([(b"%d" % (number % 3), bytes([number]) * 10_500)])])
    await log.clean(clock.time_ms())
    assert len(await rows(log)) == 9, "not enough has come together again"
    await log.append([batch_of([(b"0", bytes(10_500))])])
    await log.clean(clock.time_ms())
    assert [offset for offset, _, _ in await rows(log)] == [34, 35, 36]


async def test_a_large_table_waits_for_as_much_again(log: SqliteLog, clock: SettableClock) -> None:
    await log.declare([TopicSpec("t", 1, cleanup_policy="compact")])
    await log.append([batch_of([(b"%d" % number, bytes(60_000)) for number in range(50)])])
    await log.clean(clock.time_ms())
    await log.append([batch_of([(b"0", bytes(60_000))] * 40)])
    await log.clean(clock.time_ms())
    assert len(await rows(log)) == 90
    await log.append([batch_of([(b"0", bytes(60_000))] * 15)])
    await log.clean(clock.time_ms())
    assert len(await rows(log)) == 50


async def test_what_is_freed_in_the_file_is_used_again(log: SqliteLog, clock: SettableClock) -> None:
    """The file has as many pages as it needed at the most, however much comes and goes."""
    await log.declare([TopicSpec("t", 1, retention_ms=1000), TopicSpec("c", 1, cleanup_policy="compact")])
    pages: list[int] = []
    for turn in range(1, 7):
        for _ in range(10):
            changes = OutgoingBatch("c", 0, [b"k"] * 4, [bytes(20_000)] * 4, [0] * 4)
            await log.append([batch_of([(b"k", bytes(20_000))] * 4), changes])
        clock.ahead_ms += 10_000
        await log.clean(clock.time_ms())
        pages.append(await log.query(lambda db: db.execute("PRAGMA page_count").fetchone()[0]))
        assert await log.offsets([SOURCE]) == {SOURCE: (40 * turn, 40 * turn)}
    assert pages[-1] <= max(pages[:2]), pages


async def test_what_is_compacted_away_lets_readers_on(compacted: SqliteLog, clock: SettableClock) -> None:
    member = await join(compacted)
    await member.fetch(bytes_max=1000, timeout_s=0)
    await compacted.append([batch_of([(b"a", b"1"), (b"a", None)])])
    await compacted.clean(clock.time_ms())
    await compacted.append([batch_of([(b"b", b"1"), (b"b", b"2"), (b"b", None)])])
    await compacted.clean(clock.time_ms() + DAY_MS + 1000)
    batch = await compacted.read(SOURCE, 0, bytes_max=100, timeout_s=1)
    assert (list(batch.offsets), batch.next_offset) == ([4], 5)
    (batch,) = await member.fetch(bytes_max=1000, timeout_s=1)
    assert (list(batch.offsets), batch.next_offset) == ([4], 5)
    assert member.lag() == {SOURCE: 0}


async def test_several_cleaners_and_a_writer_lose_nothing(
    compacted: SqliteLog, tmp_path: Path, clock: SettableClock
) -> None:
    random = Random(3)
    expected: dict[bytes | None, bytes | None] = {}
    databases = [Database(tmp_path / "log.db", "off") for _ in range(3)]
    cleaners = [cleaning.Cleaner(db).steps(clock.time_ms()) for db in databases]
    for _ in range(300):
        batch = batch_of((b"%d" % random.randrange(50), random.randbytes(5000)) for _ in range(20))
        await compacted.append([batch])
        expected |= dict(zip(batch.keys, batch.values, strict=True))
        # They go on in any order, each with what it learnt some steps ago.
        which = random.randrange(3)
        if next(cleaners[which], "done") == "done":
            cleaners[which] = cleaning.Cleaner(databases[which]).steps(clock.time_ms())
    for db in databases:
        db.close()
    found = await rows(compacted)
    assert {key: value for _, key, value in found} == expected
    assert len(found) < 6000


async def test_more_keys_than_are_remembered(
    compacted: SqliteLog, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleaning, "_KEYS_MAX", 10)
    monkeypatch.setattr(blob, "ROW_RECORDS_MAX", 8)
    for number in range(50):
        await compacted.append([batch_of([(b"%d" % (number % 25), b"%d" % number), (b"x", b"%d" % number)])])
    before = fold(await rows(compacted))
    for _ in range(20):
        await compacted.clean(clock.time_ms())
    assert fold(await rows(compacted)) == before
    assert len(await rows(compacted)) < 50
