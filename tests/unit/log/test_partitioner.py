"""The partitioner against aiokafka's, which is Kafka's own."""

from __future__ import annotations

import time

import pytest
from aiokafka.partitioner import murmur2
from hypothesis import given
from hypothesis import strategies as st

from pelton.log.partitioner import partition_for, partitions_for


@given(st.binary(max_size=40), st.integers(1, 100))
def test_one_key_goes_where_kafka_sends_it(key: bytes, partitions: int) -> None:
    assert partition_for(key, partitions) == (murmur2(key) & 0x7FFFFFFF) % partitions


# Many keys of one length are hashed as an array, few of one length one by one: both must occur.
@given(st.lists(st.integers(0, 9).flatmap(lambda size: st.binary(min_size=size, max_size=size)), max_size=60))
def test_many_keys_go_where_kafka_sends_them(keys: list[bytes]) -> None:
    assert partitions_for(keys, 7) == [(murmur2(key) & 0x7FFFFFFF) % 7 for key in keys]


@pytest.mark.parametrize("size", [1, 3, 4, 5, 8, 11, 64])
def test_arrays_of_every_tail(size: int) -> None:
    keys = [bytes((seed * 37 + at * 11) % 256 for at in range(size)) for seed in range(100)]
    assert partitions_for(keys, 1000) == [(murmur2(key) & 0x7FFFFFFF) % 1000 for key in keys]


def test_the_example_of_kafkas_own_tests() -> None:
    # org.apache.kafka.common.utils.UtilsTest.testMurmur2
    expected = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536}
    for key, hashed in expected.items():
        assert partition_for(key, 2**31 - 1) == (hashed & 0x7FFFFFFF) % (2**31 - 1)


def test_no_keys_and_one_partition() -> None:
    assert partitions_for([], 3) == []
    assert partitions_for([b"", b"a"] * 20, 1) == [0] * 40


def test_a_batch_costs_little_of_the_processor() -> None:
    keys = [b"account-%05d" % number for number in range(50_000)]
    began = time.process_time()
    partitions_for(keys, 8)
    assert (time.process_time() - began) / len(keys) < 5e-6
