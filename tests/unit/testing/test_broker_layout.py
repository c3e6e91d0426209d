"""Where a test cluster's brokers live, and how they are set."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest

from pelton.errors import ConfigurationError
from pelton.testing.broker import Cluster, free_ports
from pelton.testing.broker.layout import Layout, broker_properties, cluster_id


def properties_of(brokers: int, directory: Path) -> list[dict[str, object]]:
    nodes = Layout.plan(directory, brokers, 9092).nodes(directory)
    return [broker_properties(node, nodes) for node in nodes]


def test_ports_follow_the_first() -> None:
    assert Layout.plan(Path("nowhere"), 3, 9092).ports == [(9092, 9102), (9093, 9103), (9094, 9104)]


def test_free_ports_differ() -> None:
    assert len(set(free_ports(20))) == 20
    first, *others = free_ports(3, consecutive=True)
    assert others == [first + 1, first + 2]


def test_a_kept_layout_holds_for_the_next_start(tmp_path: Path) -> None:
    first = Layout.plan(tmp_path / "new", 2, 0)
    first.keep(tmp_path / "new")
    assert Layout.plan(tmp_path / "new", 2, 0).ports == [tuple(ports) for ports in first.ports]
    assert Layout.plan(tmp_path / "new", 2, 0).id == first.id


def test_a_port_moves_a_kept_layout_and_keeps_its_id(tmp_path: Path) -> None:
    first = Layout.plan(tmp_path, 1, 9092)
    first.keep(tmp_path)
    moved = Layout.plan(tmp_path, 1, 19092)
    assert (moved.id, moved.ports) == (first.id, [(19092, 19102)])


def test_another_size_is_refused(tmp_path: Path) -> None:
    Layout.plan(tmp_path, 1, 9092).keep(tmp_path)
    with pytest.raises(ConfigurationError, match=r"holds a cluster of 1 broker\(s\), expected 3"):
        Cluster(3, tmp_path)


def test_a_cluster_of_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="at least 1"):
        Cluster(0, tmp_path)


def test_one_broker_replicates_nothing(tmp_path: Path) -> None:
    (alone,) = properties_of(1, tmp_path)
    assert {name: value for name, value in alone.items() if name.endswith("replication.factor")} == {
        "default.replication.factor": 1,
        "offsets.topic.replication.factor": 1,
        "transaction.state.log.replication.factor": 1,
        "share.coordinator.state.topic.replication.factor": 1,
    }


def test_three_brokers_survive_the_loss_of_one(tmp_path: Path) -> None:
    for properties in properties_of(3, tmp_path):
        assert properties["transaction.state.log.replication.factor"] == 3
        assert properties["transaction.state.log.min.isr"] == 2
        assert properties["controller.quorum.voters"] == "1@127.0.0.1:9102,2@127.0.0.1:9103,3@127.0.0.1:9104"


def test_brokers_listen_on_this_machine_only(tmp_path: Path) -> None:
    listeners = str(properties_of(1, tmp_path)[0]["listeners"])
    assert listeners == "PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9102"


def test_nothing_is_written_before_the_start(tmp_path: Path) -> None:
    cluster = Cluster(3, tmp_path / "cluster", 19092)
    assert cluster.bootstrap == "127.0.0.1:19092,127.0.0.1:19093,127.0.0.1:19094"
    assert cluster.running() == {}
    assert not (tmp_path / "cluster").exists()


def test_an_id_never_looks_like_an_option() -> None:
    assert cluster_id(UUID(bytes=bytes([0xF8] + [0] * 15))) == "_" + "A" * 21
