"""deploy/compose.yaml: as the specification wants it, and every file, service and setting that it names is there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from compose_spec import PyCompose

from pelton.testing.broker.jvm import KAFKA_VERSION
from pelton.testing.connect.worker import DEBEZIUM_VERSION
from tests.deploy.settings import ROOT, known_settings

DEPLOY = ROOT / "deploy"
FILE = DEPLOY / "compose.yaml"
#: Those that `make` puts there.
MADE = {"../.tools/jmx_prometheus_javaagent.jar"}


def services() -> dict[str, Any]:
    return dict(yaml.safe_load(FILE.read_text())["services"])


def test_it_is_as_the_specification_wants_it() -> None:
    # Written anew without anchors and merges, which are YAML's and not the specification's.
    plain = yaml.safe_dump({key: value for key, value in yaml.safe_load(FILE.read_text()).items() if key[:2] != "x-"})
    assert set(PyCompose.from_yaml(plain).service_names()) == set(services())


def test_everybody_who_lasts_says_whether_it_is_well() -> None:
    for name, service in services().items():
        if name != "topics":
            # The image of the workers has a health check of its own.
            assert "healthcheck" in service or service["image"] == "pelton-bank", name
        for other, needed in service.get("depends_on", {}).items():
            assert other in services(), name
            if needed["condition"] == "service_healthy":
                assert "healthcheck" in services()[other], f"{name} waits for {other}"


def test_every_file_that_is_mounted_is_there() -> None:
    document = yaml.safe_load(FILE.read_text())
    for service in document["services"].values():
        for mount in service.get("volumes", []):
            source = mount["source"] if isinstance(mount, dict) else mount.split(":")[0]
            if source in MADE:
                assert f"{Path(source).name}" in (ROOT / "Makefile").read_text()
            elif "/" in source:
                assert (DEPLOY / source).exists(), source
            else:
                assert source in document["volumes"]
    build = services()["worker-0"]["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).exists()


def test_every_variable_of_a_worker_is_a_setting() -> None:
    workers = [service for service in services().values() if service["image"] == "pelton-bank"]
    assert len(workers) == 4
    known = known_settings()
    for worker in workers:
        assert set(worker["environment"]) - known == set()
        assert worker["read_only"] is True


def test_a_broker_may_be_away() -> None:
    brokers = [service["environment"] for name, service in services().items() if re.fullmatch(r"kafka-\d", name)]
    assert len(brokers) == 3
    for broker in brokers:
        factors = {name: int(value) for name, value in broker.items() if name.endswith("REPLICATION_FACTOR")}
        assert set(factors.values()) == {3}
        assert {int(broker[name]) for name in ("KAFKA_MIN_INSYNC_REPLICAS", "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR")} == {
            2
        }


def test_kafka_and_debezium_are_those_that_the_tests_run() -> None:
    images = {name: service["image"] for name, service in services().items()}
    brokers = {image for name, image in images.items() if re.fullmatch(r"kafka-\d", name)}
    assert brokers == {f"apache/kafka:{KAFKA_VERSION}"}
    assert images["connect"] == f"quay.io/debezium/connect:{DEBEZIUM_VERSION}"


def test_connectors_find_their_variables() -> None:
    named = set()
    for file in (DEPLOY / "connect").glob("customers*.json"):
        named |= set(re.findall(r"\$\{env:(\w+)\}", file.read_text()))
    assert named
    assert named <= set(services()["connect"]["environment"])


def test_prometheus_asks_who_is_there() -> None:
    config = yaml.safe_load((DEPLOY / "compose" / "prometheus.yml").read_text())
    jobs = {job["job_name"]: job["static_configs"][0]["targets"] for job in config["scrape_configs"]}
    assert {target.split(":")[0] for targets in jobs.values() for target in targets} <= set(services())
    own = yaml.safe_load((DEPLOY / "monitoring" / "prometheus.yml").read_text())
    assert jobs == {job["job_name"]: job["static_configs"][0]["targets"] for job in own["scrape_configs"]}
    agent = services()["kafka-0"]["environment"]["KAFKA_OPTS"]
    assert {target.split(":")[1] for target in jobs["kafka"]} == set(re.findall(r"=(\d+):", agent))
