"""A real Kafka Connect on this machine, in distributed mode, with Kafka's file connectors and Debezium for PostgreSQL.

    python -m pelton.testing.connect run --bootstrap 127.0.0.1:9092    until Ctrl-C

Its REST interface listens on 127.0.0.1 only. Like the broker of `pelton.testing.broker` it comes from Python packages
and Maven's jars alone, and is made for tests: short timers, a small heap.
"""

from __future__ import annotations

from pelton.testing.connect.worker import ConnectWorker

__all__ = ["ConnectWorker"]
