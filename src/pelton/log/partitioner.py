"""Which partition a key goes to: Kafka's default partitioner, so that our producers and everybody else's agree.

Source: org.apache.kafka.common.utils.Utils.murmur2 and BuiltInPartitioner (KIP-480), toPositive(murmur2(key)) %
partitions.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

__all__ = ["partition_for", "partitions_for"]

_SEED = 0x9747B28C
_M = np.uint32(0x5BD1E995)
_POSITIVE = 0x7FFFFFFF
#: Below this many keys of one length the array arithmetic costs more than it saves.
_VECTOR_MIN = 8


@lru_cache(maxsize=65_536)
def _hash(key: bytes) -> int:
    """Return murmur2 of a key, as an unsigned 32-bit number."""
    length, m, mask = len(key), 0x5BD1E995, 0xFFFFFFFF
    h = (_SEED ^ length) & mask
    whole = length & ~3
    for at in range(0, whole, 4):
        k = int.from_bytes(key[at : at + 4], "little") * m & mask
        k = (k ^ (k >> 24)) * m & mask
        h = (h * m & mask) ^ k
    if length > whole:
        h = (h ^ int.from_bytes(key[whole:], "little")) * m & mask
    h = (h ^ (h >> 13)) * m & mask
    return h ^ (h >> 15)


def _hash_many(keys: Sequence[bytes], length: int) -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
    """Return murmur2 of keys of one length, shape (n,)."""
    count = len(keys)
    padded = -(-length // 4) * 4
    columns = np.zeros((count, padded), dtype=np.uint8)
    columns[:, :length] = np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(count, length)
    words = columns.view("<u4")
    h = np.full(count, (_SEED ^ length) & 0xFFFFFFFF, dtype=np.uint32)
    for at in range(length // 4):
        k = words[:, at] * _M
        k = (k ^ (k >> np.uint32(24))) * _M
        h = (h * _M) ^ k
    if length % 4:
        h = (h ^ words[:, -1]) * _M
    h = (h ^ (h >> np.uint32(13))) * _M
    return h ^ (h >> np.uint32(15))


def partition_for(key: bytes, partitions: int) -> int:
    """Return the partition of a key among so many; the same as Kafka's own producer chooses."""
    return (_hash(key) & _POSITIVE) % partitions


def partitions_for(keys: Sequence[bytes], partitions: int) -> list[int]:
    """Return the partition of each key, in order."""
    lengths: dict[int, list[int]] = {}
    for index, key in enumerate(keys):
        lengths.setdefault(len(key), []).append(index)
    found = [0] * len(keys)
    for length, indexes in lengths.items():
        if len(indexes) < _VECTOR_MIN or length == 0:
            for index in indexes:
                found[index] = partition_for(keys[index], partitions)
            continue
        hashes = _hash_many([keys[index] for index in indexes], length)
        for index, value in zip(
            indexes, ((hashes & np.uint32(_POSITIVE)) % np.uint32(partitions)).tolist(), strict=True
        ):
            found[index] = value
    return found
