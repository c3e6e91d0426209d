"""Asks a Kafka broker which brokers it knows, in a dozen bytes of Kafka's own protocol.

No client library: tests of a library's home must be able to trust the broker without it.
Source: Kafka protocol guide, Metadata request and response, version 1.
"""

from __future__ import annotations

import socket
import struct

__all__ = ["living_brokers"]

# Short: a starting broker accepts connections long before it answers, and forgets some of them.
TIMEOUT_S = 1.0
# api key 3 (Metadata), version 1, correlation id 0, client id "" (length 0), no topics (an empty array).
REQUEST = struct.pack(">hhihi", 3, 1, 0, 0, 0)


def living_brokers(host: str, port: int) -> frozenset[int]:
    """Return the ids of the brokers that the one listening here tells its clients; empty if it does not answer."""
    try:
        with socket.create_connection((host, port), timeout=TIMEOUT_S) as connection:
            connection.sendall(struct.pack(">i", len(REQUEST)) + REQUEST)
            with connection.makefile("rb") as answer:
                (size,) = struct.unpack(">i", answer.read(4))
                return parse_brokers(answer.read(size))
    except (OSError, struct.error):
        # Not listening yet, or closing as we ask: both mean that nobody lives here now.
        return frozenset()


def parse_brokers(response: bytes) -> frozenset[int]:
    """Return the ids in the brokers' array of a Metadata response of version 1. Raises: struct.error if cut short."""
    (count,) = struct.unpack_from(">i", response, 4)
    position = 8
    ids: set[int] = set()
    for _ in range(count):
        broker, host_size = struct.unpack_from(">ih", response, position)
        ids.add(broker)
        position += 4 + 2 + host_size + 4
        (rack_size,) = struct.unpack_from(">h", response, position)
        position += 2 + max(rack_size, 0)
    return frozenset(ids)
