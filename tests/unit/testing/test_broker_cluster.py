"""What a test cluster finds out before it starts anything, and the words it says it with."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pelton.errors import ConfigurationError
from pelton.testing.broker import Cluster, free_ports
from pelton.testing.broker.jvm import KAFKA_VERSION, find_java, java_major, kafka_classpath
from pelton.testing.broker.metadata import living_brokers, parse_brokers


def metadata_response(*brokers: tuple[int, str, str | None]) -> bytes:
    """Return a Metadata response of version 1, as the protocol guide lays it out."""
    response = struct.pack(">ii", 0, len(brokers))
    for broker, host, rack in brokers:
        response += struct.pack(">ih", broker, len(host)) + host.encode() + struct.pack(">i", 9092)
        response += struct.pack(">h", -1) if rack is None else struct.pack(">h", len(rack)) + rack.encode()
    return response + struct.pack(">ii", 1, 0)


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def fake_java(directory: Path, version: str) -> Path:
    java = directory / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2025-01-01' >&2\n")
    java.chmod(0o755)
    return java


def test_brokers_are_read_with_and_without_racks() -> None:
    assert parse_brokers(metadata_response((1, "127.0.0.1", None), (7, "localhost", "a"))) == {1, 7}


def test_a_response_cut_short_is_an_error() -> None:
    with pytest.raises(struct.error):
        parse_brokers(metadata_response((1, "127.0.0.1", None))[:20])


def test_nobody_lives_where_nothing_listens() -> None:
    (port,) = free_ports(1)
    assert living_brokers("127.0.0.1", port) == frozenset()


def test_nobody_lives_where_the_connection_is_closed(listening: socket.socket) -> None:
    def close_the_first() -> None:
        listening.accept()[0].close()

    closer = threading.Thread(target=close_the_first)
    closer.start()
    assert living_brokers("127.0.0.1", listening.getsockname()[1]) == frozenset()
    closer.join()


def test_a_taken_port_is_named(listening: socket.socket, tmp_path: Path) -> None:
    port = listening.getsockname()[1]
    with pytest.raises(ConfigurationError, match=rf"could not listen on 127\.0\.0\.1:{port}: Address already in use"):
        Cluster(1, tmp_path, port).start()


@pytest.mark.parametrize("broker", [0, 4])
def test_a_broker_that_does_not_exist_is_refused(broker: int, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"no broker {broker}: expected one from 1 to 3"):
        Cluster(3, tmp_path).kill(broker)


def test_stopping_what_does_not_run_does_nothing(tmp_path: Path) -> None:
    Cluster(1, tmp_path).stop()


@pytest.mark.parametrize(("version", "major"), [("17.0.15", 17), ("21", 21), ("1.8.0_402", 1)])
def test_java_tells_its_version(version: str, major: int, tmp_path: Path) -> None:
    assert java_major(fake_java(tmp_path, version)) == major


def test_a_java_that_is_new_enough_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    java = fake_java(tmp_path, "17.0.1")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert find_java() == java


def test_an_old_java_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_java(tmp_path, "11.0.2")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert java_major(find_java()) >= 17


def test_jars_that_are_there_are_not_downloaded(tmp_path: Path) -> None:
    jar = tmp_path / f"kafka-{KAFKA_VERSION}" / "kafka.jar"
    jar.parent.mkdir(parents=True)
    jar.touch()
    told: list[str] = []
    assert kafka_classpath(tmp_path, told.append) == str(jar)
    assert told == []
