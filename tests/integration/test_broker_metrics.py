"""deploy/monitoring/jmx.yml on a real broker: every metric that an alert asks of brokers is told, with a value."""

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
from tests.patience import PATIENCE_S
from tests.servers import free_port

MONITORING = Path(__file__).parents[2] / "deploy" / "monitoring"
TOLD = {
    "kafka_server_replicamanager_underreplicatedpartitions",
    "kafka_server_replicamanager_underminisrpartitioncount",
    "kafka_controller_offlinepartitionscount",
    "kafka_controller_activecontrollercount",
    "kafka_server_brokertopicmetrics_bytesinpersec_total",
    "kafka_server_brokertopicmetrics_bytesoutpersec_total",
    "kafka_server_brokertopicmetrics_messagesinpersec_total",
}


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
    asked = set(re.findall(r"\bkafka_(?:server|controller)_\w+", (MONITORING / "alerts.yml").read_text()))
    assert asked
    assert asked <= found.keys()
