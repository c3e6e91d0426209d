"""Faust's settings and their environment variables, and the engine's own beside them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pelton import App
from pelton.errors import ConfigurationError
from tests.compat.harness import load, worker


def test_what_the_program_says(directory: Path) -> None:
    app = load("configured").app
    assert (app.conf.topic_partitions, app.conf.web_port, app.config.commit_interval_ms) == (3, 7000, 500)
    assert app.conf.datadir == directory / "data"
    assert app.guarantee == "exactly_once"


def test_the_environment_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    variables = {
        "APP_DATADIR": str(tmp_path / "elsewhere"),
        "BROKER_URL": "kafka://one:9092;two:9093",
        "PROCESSING_GUARANTEE": "at_least_once",
        "WEB_PORT": "7070",
        "TOPIC_PARTITIONS": "5",
        "TABLE_STANDBY_REPLICAS": "1",
        "PELTON_COMMIT_INTERVAL_MS": "250",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    app = load("configured").app
    conf = app.conf
    assert conf.datadir == tmp_path / "elsewhere"
    assert [(url.host, url.port) for url in conf.broker] == [("one", 9092), ("two", 9093)]
    assert app.guarantee == "at_least_once"
    assert (conf.web_port, conf.topic_partitions, conf.table_standby_replicas) == (7070, 5, 1)
    assert app.config.commit_interval_ms == 250


def test_without_a_broker_the_log_is_embedded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BROKER_URL")
    assert [url.scheme for url in App("plain").conf.broker] == ["sqlite"]


async def test_an_unknown_broker_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKER_URL", "rabbitmq://localhost")
    app = load("configured").app
    with pytest.raises(ConfigurationError, match="rabbitmq"):
        await app.start()
    await app.stop()


async def test_a_program_without_agents_runs() -> None:
    app = load("configured").app
    finished = []

    async def ready() -> None:
        finished.append(True)

    app.on_startup_finished = ready
    async with worker(app):
        assert finished == [True]
