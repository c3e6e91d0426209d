"""A real Apache Kafka on this machine, for tests and for trying things out: one broker or more, in KRaft mode.

    python -m pelton.testing.broker run --brokers 3        in the foreground, until Ctrl-C
    python -m pelton.testing.broker start | status | stop  in the background
    python -m pelton.testing.broker exporter               where the JMX exporter is, for brokers of your own

It listens on 127.0.0.1 only, needs no root, and keeps everything under one directory. Its settings are made
for tests: short timers, small heaps, few internal partitions, nothing replicated more often than there are brokers.
It refuses to be a production cluster.
"""

from __future__ import annotations

from pelton.testing.broker.cluster import Cluster
from pelton.testing.broker.layout import free_ports
from pelton.testing.broker.secure import SecureListener

__all__ = ["Cluster", "SecureListener", "free_ports"]
