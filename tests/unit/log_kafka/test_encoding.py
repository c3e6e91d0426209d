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
header = st.tuples(st.text(max_size=5), st.binary(max_size=5))
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
    got = Unpacker(TopicPartition("t", 0), MemoryRecords(sealed), (), 0).take(1 << 30)
    assert list(zip(got.keys, got.values, got.timestamps_ms, got.headers or [()] * len(got), strict=True)) == made


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
        for value in Unpacker(TopicPartition("t", 0), MemoryRecords(seal(chunk, -1, -1, -1)), (), 0)
        .take(1 << 30)
        .values
    ]
    assert back == values


def test_small_rows_are_cut_by_number() -> None:
    batch = OutgoingBatch("t", 0, [None] * 20_000, [b""] * 20_000, [0] * 20_000)
    assert [c.records for c in chunks(batch, transactional=False)] == [BATCH_ROWS_MAX, 20_000 - BATCH_ROWS_MAX]


def test_columns_of_unequal_length() -> None:
    with pytest.raises(InternalError, match="1 keys, 2 values"):
        list(chunks(OutgoingBatch("t", 0, [b"k"], [b"v", b"w"], [0]), transactional=False))
