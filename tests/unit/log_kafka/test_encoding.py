"""Columns to sealed record batches and back."""

from __future__ import annotations

import pytest
from aiokafka.record.memory_records import MemoryRecords
from hypothesis import given
from hypothesis import strategies as st

from pelton.batch import Headers, OutgoingBatch, TopicPartition
from pelton.errors import InternalError
from pelton.log.kafka.columns import Unpacker
from pelton.log.kafka.encoding import BATCH_BYTES_MAX, BATCH_ROWS_MAX, chunks, seal

entries = st.one_of(st.none(), st.binary(max_size=300))
#: Names of any bytes; those that are not UTF-8 hold lone surrogates.
names = st.one_of(st.text(max_size=5), st.binary(max_size=5).map(lambda name: name.decode("utf-8", "surrogateescape")))
header = st.tuples(names, st.one_of(st.none(), st.binary(max_size=5)))
rows = st.lists(st.tuples(entries, entries, st.integers(0, 2**41), st.lists(header, max_size=2).map(tuple)), min_size=1)


@given(rows, st.booleans())
def test_round_trip(made: list[tuple[bytes | None, bytes | None, int, Headers]], transactional: bool) -> None:
    batch = OutgoingBatch("t", 0)
    for row in made:
        batch.append(*row)
    (chunk,) = chunks(batch, transactional=transactional)
    sealed = seal(chunk, 12, 3, 40)
    kafka_batch = MemoryRecords(sealed).next_batch()
    assert (kafka_batch.producer_id, kafka_batch.producer_epoch, kafka_batch.base_sequence) == (12, 3, 40)
    assert kafka_batch.is_transactional == transactional
    got = Unpacker(TopicPartition("t", 0), sealed, (), 0).take(1 << 30)
    assert list(zip(got.keys, got.values, got.timestamps_ms, got.headers or [()] * len(got), strict=True)) == made


def test_a_header_name_that_is_no_text_comes_back_byte_for_byte() -> None:
    """Compressed, beside others, in a batch that begins before the position."""
    name = b"\xff\x00\xc3".decode("utf-8", "surrogateescape")
    batch = OutgoingBatch("t", 0)
    for row in range(100):
        batch.append(b"k%d" % row, bytes(50), row, ((name, None), ("plain", b"")) if row == 70 else ())
    (chunk,) = chunks(batch, transactional=True)
    sealed = seal(chunk, 12, 3, 40)
    assert b"\xff\x00\xc3" in bytes(chunk.builder.build())
    assert len(sealed) < 3000
    got = Unpacker(TopicPartition("t", 0), sealed, (), 50).take(1 << 30)
    assert (list(got.offsets), got.keys[0]) == (list(range(50, 100)), b"k50")
    assert got.headers is not None
    assert got.headers[20:22] == [((name, None), ("plain", b"")), ()]


def test_a_topic_of_small_batches_gets_small_batches() -> None:
    batch = OutgoingBatch("t", 0, [None] * 1000, [bytes(100)] * 1000, [0] * 1000)
    cut = list(chunks(batch, transactional=False, bytes_max=10_000))
    assert sum(chunk.records for chunk in cut) == 1000
    assert max(len(bytes(chunk.builder.build())) for chunk in cut) <= 10_000


def test_cut_to_size_in_order() -> None:
    values: list[bytes | None] = [b"%06d" % number + bytes(400) for number in range(6000)]
    values[10] = bytes(3 * BATCH_BYTES_MAX)
    batch = OutgoingBatch("t", 0, [None] * 6000, values, [0] * 6000)
    cut = list(chunks(batch, transactional=False))
    assert [chunk.row for chunk in cut] == [sum(c.records for c in cut[:n]) for n in range(len(cut))]
    assert sum(chunk.records for chunk in cut) == 6000
    assert [chunk.records for chunk in cut[:2]] == [10, 1]
    back = [
        value
        for chunk in cut
        for value in Unpacker(TopicPartition("t", 0), seal(chunk, -1, -1, -1), (), 0).take(1 << 30).values
    ]
    assert back == values


def test_small_rows_are_cut_by_number() -> None:
    batch = OutgoingBatch("t", 0, [None] * 20_000, [b""] * 20_000, [0] * 20_000)
    assert [c.records for c in chunks(batch, transactional=False)] == [BATCH_ROWS_MAX, 20_000 - BATCH_ROWS_MAX]


def test_columns_of_unequal_length() -> None:
    with pytest.raises(InternalError, match="1 keys, 2 values"):
        list(chunks(OutgoingBatch("t", 0, [b"k"], [b"v", b"w"], [0]), transactional=False))
