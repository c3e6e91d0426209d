"""What a broker sends that is no batch of records is told, and not asked for again without a word."""

from __future__ import annotations

import struct

import pytest

from pelton.batch import TopicPartition
from pelton.errors import UnavailableError
from pelton.log.kafka.reader import Fetched

SOURCE = TopicPartition("t", 3)
_PREFIX = struct.Struct(">qi")


@pytest.mark.parametrize("length", [-5, 0, 4])
def test_a_batch_of_an_impossible_length(length: int) -> None:
    fetched = Fetched(0, 9, None, _PREFIX.pack(0, length) + bytes(100))
    with pytest.raises(UnavailableError, match=r"could not read t\[3\] at offset 7: .* no batch of records"):
        fetched.unpacker(SOURCE, 7)


def test_a_batch_that_was_cut_off_is_asked_for_again() -> None:
    assert Fetched(0, 9, None, _PREFIX.pack(0, 1_000) + bytes(100)).unpacker(SOURCE, 7).exhausted
