"""Record batches to columns, without a broker."""

from __future__ import annotations

import struct

import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c

from pelton.batch import Headers, TopicPartition
from pelton.errors import UnavailableError
from pelton.log.kafka.columns import Unpacker, _Columns

SOURCE = TopicPartition("t", 3)
COMMIT, ABORT = 1, 0
_CONTROL_BIT = 0x20


def records(
    base: int,
    *rows: tuple[int, bytes | None, bytes | None],
    producer: int = -1,
    headers: dict[int, Headers] | None = None,
    control: bool = False,
) -> bytes:
    """Return a record batch as a broker stores it; rows are (offset in the batch, key, value)."""
    builder = DefaultRecordBatchBuilder(2, 0, int(producer >= 0), producer, 0, 0, 1 << 30)
    for delta, key, value in rows:
        builder.append(delta, 1000 + delta, key, value, list((headers or {}).get(delta, ())))
    raw = bytearray(builder.build())
    struct.pack_into(">q", raw, 0, base)
    if control:
        struct.pack_into(">h", raw, 21, struct.unpack_from(">h", raw, 21)[0] | _CONTROL_BIT)
        struct.pack_into(">I", raw, 17, calc_crc32c(bytes(raw[21:])))
    return bytes(raw)


def marker(base: int, producer: int, kind: int) -> bytes:
    return records(base, (0, struct.pack(">HH", 0, kind), b""), producer=producer, control=True)


def unpacker(*batches: bytes, aborted: tuple[tuple[int, int], ...] = (), position: int = 0) -> Unpacker:
    return Unpacker(SOURCE, b"".join(batches), aborted, position)


def test_adjoining_batches_become_one() -> None:
    got = unpacker(records(0, (0, b"a", b"1"), (1, None, b"2")), records(2, (0, b"c", None))).take(1000)
    assert got.offsets == range(3)
    assert (got.keys, got.values, got.timestamps_ms) == ([b"a", None, b"c"], [b"1", b"2", None], [1000, 1001, 1000])
    assert (got.topic, got.partition, got.next_offset, got.headers, got.nbytes) == ("t", 3, 3, None, 4)


def test_compaction_leaves_gaps_within_and_behind() -> None:
    got = unpacker(records(0, (0, b"a", b"1"), (4, b"b", b"2")), records(9, (2, b"c", b"3"))).take(1000)
    assert (list(got.offsets), got.next_offset) == ([0, 4, 11], 12)


def test_gaps_between_transactions_are_no_reason_to_copy_what_is_there() -> None:
    columns = _Columns()
    lists: list[object] = []
    for offset in (0, 2, 4, 6):
        batch = MemoryRecords(records(offset, (0, b"k", b"v"))).next_batch()
        columns.add(list(batch), batch.next_offset, offset)
        lists.append(columns.offsets)
    assert columns.offsets == [0, 2, 4, 6]
    assert lists[1] is lists[2] is lists[3]


def test_batch_that_begins_before_the_position() -> None:
    got = unpacker(records(10, (0, b"a", b"1"), (1, b"b", b"2"), (2, b"c", b"3")), position=12).take(1000)
    assert (list(got.offsets), got.values, got.next_offset) == ([12], [b"3"], 13)


def test_headers_only_from_the_batch_that_has_some() -> None:
    got = unpacker(
        records(0, (0, b"a", b"1")),
        records(1, (0, b"b", b"2"), (1, b"c", b"3"), headers={1: (("h", b"x"), ("h", b"y"))}),
        records(3, (0, b"d", b"4")),
    ).take(1000)
    assert got.headers == [(), (), (("h", b"x"), ("h", b"y")), ()]


def test_aborted_transactions_are_left_out_and_the_position_moves_past_them() -> None:
    whole = unpacker(
        records(0, (0, b"a", b"kept"), producer=7),
        records(1, (0, b"a", b"aborted"), producer=8),
        records(2, (0, b"a", b"kept too"), producer=7),
        marker(3, 8, ABORT),
        marker(4, 7, COMMIT),
        records(5, (0, b"a", b"after the abort"), producer=8),
        marker(6, 8, COMMIT),
        aborted=((8, 1),),
    )
    got = whole.take(1000)
    assert (got.values, list(got.offsets)) == ([b"kept", b"kept too", b"after the abort"], [0, 2, 5])
    assert got.next_offset == 7
    assert whole.exhausted


def test_markers_alone_move_the_position() -> None:
    got = unpacker(marker(5, 7, COMMIT), position=5).take(1000)
    assert (len(got), got.next_offset) == (0, 6)


def test_taken_in_pieces_of_whole_batches() -> None:
    whole = unpacker(*(records(2 * n, (0, b"k", bytes(100)), (1, b"k", bytes(100))) for n in range(5)))
    sizes = []
    while not whole.exhausted:
        sizes.append(len(whole.take(250)))
    assert sizes == [4, 4, 2]
    assert whole.next_offset == 10


def test_wrong_checksum() -> None:
    raw = bytearray(records(0, (0, b"a", b"1")))
    raw[-2] ^= 1
    with pytest.raises(UnavailableError, match="checksum"):
        unpacker(bytes(raw)).take(1000)
