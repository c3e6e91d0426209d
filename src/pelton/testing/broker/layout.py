"""Where a cluster's brokers live and how they are set: numbers, ports, directories, properties.

What a start decided (the cluster's id and its ports) is kept in the directory and holds for the next start.
"""

from __future__ import annotations

import socket
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom
from typing import Self

import msgspec

from pelton.errors import ConfigurationError
from pelton.testing.broker.program import living, tail

__all__ = ["HOST", "Layout", "Node", "broker_properties", "free_ports"]

HOST = "127.0.0.1"
FILE = "cluster.json"
# A cluster on port 9092 keeps 9092, 9093, 9094 for clients and 9102, 9103, 9104 for its controllers.
CONTROLLER_PORT_OFFSET = 10
#: Below those of outgoing connections: Linux takes these from 32768 on, other systems from 49152 on.
_PORTS = range(10_000, 32_000)
_RANDOM = SystemRandom()


def free_ports(count: int, *, consecutive: bool = False) -> list[int]:
    """Return ports of 127.0.0.1 that nothing listens on at the moment, all different; consecutive: in a row.

    They are none of those that the system gives to outgoing connections, of which one could have taken a port before
    whoever asked comes to listen there.
    """
    found: list[int] = []
    while len(found) < count:
        port = _RANDOM.choice(_PORTS)
        run = range(port, port + count) if consecutive else [port]
        if all(_is_free(one) for one in run):
            found += [one for one in run if one not in found]
    return found


def _is_free(port: int) -> bool:
    try:
        socket.create_server((HOST, port)).close()
    except OSError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Node:
    """One broker, which is a controller as well: its number (from 1), its two ports and its directory."""

    id: int
    port: int
    controller_port: int
    directory: Path

    @property
    def log(self) -> Path:
        """The file that takes what the broker prints."""
        return self.directory / "broker.log"

    @property
    def pid_file(self) -> Path:
        """The file that holds the broker's process id, and is locked by that process as long as it lives."""
        return self.directory / "pid"

    def pid(self) -> int | None:
        """Return the process that runs this broker now, whoever started it; None when none does."""
        return living(self.pid_file)

    def log_tail(self) -> str:
        """Return the last lines that the broker printed."""
        return tail(self.log)


def broker_properties(node: Node, nodes: Sequence[Node]) -> dict[str, object]:
    """Return the settings of one broker, as server.properties takes them."""
    replicas = min(3, len(nodes))
    in_sync = 2 if replicas == 3 else 1
    record_bytes_max = 16 * 1024 * 1024
    return {
        "process.roles": "broker,controller",
        "node.id": node.id,
        "listeners": f"PLAINTEXT://{HOST}:{node.port},CONTROLLER://{HOST}:{node.controller_port}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{node.port}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.quorum.voters": ",".join(f"{other.id}@{HOST}:{other.controller_port}" for other in nodes),
        "log.dirs": "data",
        # Topics are declared; one that appears by a typo would hide it.
        "auto.create.topics.enable": "false",
        "default.replication.factor": replicas,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": replicas,
        "offsets.topic.num.partitions": 8,
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": in_sync,
        "transaction.state.log.num.partitions": 8,
        "share.coordinator.state.topic.replication.factor": replicas,
        "share.coordinator.state.topic.min.isr": in_sync,
        # Tests crash members and transactions on purpose, and wait for the broker to notice.
        "group.initial.rebalance.delay.ms": 0,
        "group.min.session.timeout.ms": 1000,
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": 1000,
        "transaction.max.timeout.ms": 900_000,
        # A killed broker may come back only when the session of its former life is over.
        "broker.heartbeat.interval.ms": 1000,
        "broker.session.timeout.ms": 4000,
        "log.retention.check.interval.ms": 2000,
        "log.segment.delete.delay.ms": 1000,
        # A record of 5 MiB must pass, also replicated.
        "message.max.bytes": record_bytes_max,
        "replica.fetch.max.bytes": record_bytes_max,
        # A position that is committed waits this long for others to be written with it; the default of 5 ms pays when
        # a broker coordinates many groups.
        "group.coordinator.append.linger.ms": 0,
        # Small machines.
        "num.network.threads": 2,
        "num.io.threads": 4,
        "log.cleaner.dedupe.buffer.size": 32 * 1024 * 1024,
    }


class Layout(msgspec.Struct, frozen=True):
    """A cluster's id and each broker's two ports, for clients and for the other controllers: the file cluster.json."""

    id: str
    ports: Sequence[tuple[int, int]]

    @classmethod
    def plan(cls, directory: Path, brokers: int, port: int) -> Self:
        """Return the layout kept in a directory, or a new one; `port` moves a kept one, unless it is 0.

        Raises: ConfigurationError when the directory holds a cluster of another size.
        """
        if brokers < 1:
            raise ConfigurationError(f"could not make a cluster of {brokers} brokers: expected at least 1")
        file = directory / FILE
        kept = msgspec.json.decode(file.read_bytes(), type=cls) if file.exists() else None
        if kept is None:
            return cls(cluster_id(uuid.uuid4()), _ports(brokers, port))
        if len(kept.ports) != brokers:
            raise ConfigurationError(
                f"{directory} holds a cluster of {len(kept.ports)} broker(s), expected {brokers}",
                hint="choose another directory, or delete this one",
            )
        return cls(kept.id, _ports(brokers, port)) if port else kept

    def keep(self, directory: Path) -> None:
        """Keep this layout for the next start."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / FILE).write_bytes(msgspec.json.encode(self))

    def nodes(self, directory: Path) -> Sequence[Node]:
        """Return the brokers, numbered from 1."""
        return [
            Node(number, port, controller_port, directory / f"broker-{number}")
            for number, (port, controller_port) in enumerate(self.ports, start=1)
        ]


def cluster_id(random: uuid.UUID) -> str:
    """Return a cluster's id as Kafka writes it: 22 characters of base64, none of them a "-".

    Kafka's tools take an id that begins with one for an option.
    """
    return urlsafe_b64encode(random.bytes).decode().rstrip("=").replace("-", "_")


def _ports(brokers: int, port: int) -> list[tuple[int, int]]:
    if port:
        return [(port + index, port + CONTROLLER_PORT_OFFSET + index) for index in range(brokers)]
    free = free_ports(2 * brokers)
    return list(zip(free[:brokers], free[brokers:], strict=True))
