"""deploy/monitoring/jmx.yml on a real broker: every metric of its rules is told, those of alerts and dashboards too."""

from __future__ import annotations

import re
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from pelton.testing.broker import Cluster
from pelton.testing.broker.cluster import JARS
from pelton.testing.broker.jvm import jmx_exporter
from tests.deploy.brokers import told_by_brokers
from tests.patience import PATIENCE_S
from tests.servers import free_port

MONITORING = Path(__file__).parents[2] / "deploy" / "monitoring"
TOLD = told_by_brokers()


def values(port: int) -> dict[str, float]:
    """Return the metrics of a broker, without labels; none while it does not answer."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            text = answer.read().decode()
    except (URLError, ConnectionError, TimeoutError):
        return {}
    return {name: float(value) for name, value in re.findall(r"^(kafka_\w+)(?:\{[^}]*\})? (\S+)$", text, re.MULTILINE)}


def test_a_broker_tells_what_alerts_ask_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port, agent = free_port(), jmx_exporter(JARS, print)
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", f"-javaagent:{agent}={port}:{MONITORING / 'jmx.yml'}")
    with Cluster(directory=tmp_path / "kafka", port=0, quick_start=True):
        deadline = time.monotonic() + PATIENCE_S
        while not (found := values(port)).keys() >= TOLD:
            assert time.monotonic() < deadline, TOLD - found.keys()
            time.sleep(0.2)
    assert found["kafka_controller_activecontrollercount"] == 1
    assert found["kafka_server_replicamanager_underreplicatedpartitions"] == 0
    asking = [MONITORING / "alerts.yml", MONITORING / "dashboards" / "brokers.json"]
    for file in asking:
        asked = set(re.findall(r"\bkafka_(?:server|controller|network)_\w+", file.read_text()))
        assert asked
        assert asked <= found.keys()
