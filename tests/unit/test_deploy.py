"""The files of deploy/ are what they say: commands that exist, settings that the worker knows."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from faust.cli.base import cli
from prometheus_client import CollectorRegistry

from app import app
from app.llm.metrics import ModelCollector, Tally
from app.services import SERVICES
from pelton.config import EngineConfig
from pelton.connect.kafka_connect import read_connectors
from pelton.metrics.exposition import EngineCollector
from pelton.shell.guard import TOKEN_VARIABLE, Token
from pelton.testing.deployment.__main__ import read_commands, read_settings
from pelton.testing.deployment.environment import TOKEN_FILE, web_token, worker_environment
from pelton.testing.deployment.prometheus import with_targets
from tests.deploy.brokers import told_by_brokers
from tests.unit.metrics.test_exposition import SNAPSHOT

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "deploy" / "pelton-worker@.service"
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
DEPLOY = ROOT / "deploy"
MONITORING = DEPLOY / "monitoring"
_FED = ("--feed", "--service")


def unit_command() -> list[str]:
    (line,) = re.findall(r"^ExecStart=(.*)$", UNIT.read_text(), re.MULTILINE)
    return shlex.split(line.replace("%i", "6066"))


def image_command() -> list[str]:
    (line,) = re.findall(r"^ENTRYPOINT (.*)$", DOCKERFILE.read_text(), re.MULTILINE)
    return list(json.loads(line))


@pytest.mark.parametrize("command", [unit_command(), image_command()], ids=["unit", "image"])
def test_the_command_starts_a_worker(command: list[str], tmp_path: Path) -> None:
    assert Path(command[0]).name == "faust"
    where = os.environ | {"BROKER_URL": f"sqlite:///{tmp_path}/log.sqlite", "APP_DATADIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "faust", *command[1:], "--help"], cwd=ROOT, env=where, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    assert b"Usage" in done.stdout


def test_what_the_image_copies_is_there() -> None:
    for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE.read_text(), re.MULTILINE):
        for name in line.split()[:-1]:
            assert (ROOT / name).exists(), line


def test_the_settings_are_known() -> None:
    known = (ROOT / "docs" / "settings.md").read_text()
    text = (ROOT / "deploy" / "README.md").read_text() + UNIT.read_text() + DOCKERFILE.read_text()
    names = set(re.findall(r"\bPELTON_[A-Z_]+", text))
    assert names
    assert {name for name in names if f"`{name}`" not in known} == set()


def test_the_connectors_speak_of_topics_that_the_application_has() -> None:
    known = {name for topic in app.declared_topics for name in topic.topics}
    found = {connector.name: connector.config for connector in read_connectors(ROOT / "deploy" / "connect")}
    assert found["terminals-in"]["topic"] in known
    assert found["terminals-out"]["topics"] in known
    assert found["customers"]["transforms.topic.replacement"] in known


def told_by_workers() -> set[str]:
    """Return the names of all metrics of a worker's page and of their series, of the bank's own too."""
    registry = CollectorRegistry()
    registry.register(EngineCollector(lambda: SNAPSHOT))
    tally = Tally()
    tally.failed("timeout")
    registry.register(ModelCollector(lambda: tally.statistics("closed", 0, 0.0)))
    families = list(registry.collect())
    return {one.name for family in families for one in (family, *family.samples)}


def asked_for(expression: str) -> set[str]:
    return set(re.findall(r"\b(?:pelton|bank|kafka)_\w+", expression))


@pytest.mark.parametrize("board", sorted((MONITORING / "dashboards").glob("*.json")), ids=lambda board: board.stem)
def test_every_query_of_a_dashboard_is_answered_by_our_metrics(board: Path) -> None:
    panels = json.loads(board.read_text())["panels"]
    assert panels
    told = told_by_workers() | told_by_brokers()
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        for target in panel["targets"]:
            names = asked_for(target["expr"])
            assert names, f"{panel['title']}: {target['expr']}"
            assert names <= told, f"{panel['title']}: {names - told}"


def test_every_alert_asks_for_metrics_that_there_are() -> None:
    names = asked_for((MONITORING / "alerts.yml").read_text())
    assert len(names) > 8
    assert names <= told_by_workers() | told_by_brokers()


def test_all_that_brokers_are_asked_for_is_shown() -> None:
    text = "".join(
        file.read_text() for file in [MONITORING / "alerts.yml", *(MONITORING / "dashboards").glob("*.json")]
    )
    assert told_by_brokers() - asked_for(text) == set(), "what the exporter tells for nobody"


def test_the_cluster_on_one_machine_has_the_settings_of_the_chart(tmp_path: Path) -> None:
    settings = read_settings(DEPLOY / "cluster.env")
    known = {f"PELTON_{name.upper()}" for name in EngineConfig.__dataclass_fields__}
    assert {name for name in settings if name.startswith("PELTON_")} <= known
    values = yaml.safe_load((DEPLOY / "helm" / "pelton" / "values.yaml").read_text())
    assert settings == {
        "WEB_BIND": "0.0.0.0",
        "BROKER_SESSION_TIMEOUT": str(values["broker"]["sessionTimeoutSeconds"]),
        "PELTON_SHUTDOWN_TIMEOUT_MS": str(values["shutdownTimeoutMs"]),
        "TABLE_STANDBY_REPLICAS": str(values["standbyReplicas"]),
        "PELTON_LOGGING": values["logging"],
    }
    common = {"BROKER_URL": "kafka://127.0.0.1:9092", TOKEN_VARIABLE: web_token(tmp_path, {})}
    given = worker_environment(settings, common, "app-0", tmp_path, 6066)
    template = (DEPLOY / "helm" / "pelton" / "templates" / "statefulset.yaml").read_text()
    always = set(re.findall(r"^ {12}- name: ([A-Z_]+)$", template, re.MULTILINE))
    asked_for_alone = {"OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_MODEL"}
    assert set(given) == {"BROKER_URL", *always} - asked_for_alone


def test_the_token_of_the_cluster_is_kept_and_nobody_elses(tmp_path: Path) -> None:
    token = web_token(tmp_path, {TOKEN_VARIABLE: ""})
    assert Token(token).header() == {"Authorization": f"Bearer {token}"}, "long enough for a worker"
    assert web_token(tmp_path, {}) == token
    assert (tmp_path / TOKEN_FILE).stat().st_mode & 0o777 == 0o600
    assert web_token(tmp_path, {TOKEN_VARIABLE: "given-by-the-environment"}) == "given-by-the-environment"


def test_the_cluster_on_one_machine_is_fed_all_that_make_run_feeds() -> None:
    # Without what a make above this one told its children.
    where = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    told = subprocess.run(
        ["make", "-n", "cluster"], cwd=ROOT, env=where, capture_output=True, text=True, check=True
    ).stdout
    words = shlex.split(told[told.index("exec ") :].replace("\\\n", " "))
    given = {option: [words[at + 1] for at, word in enumerate(words) if word == option] for option in _FED}
    commands = read_commands(given["--feed"])
    wanted = set(re.findall(r'"(simulate[a-z-]*)"', (ROOT / "app" / "run.py").read_text()))
    assert len(wanted) > 4
    assert wanted <= {command for command, *_ in commands}
    for command, *options in commands:
        cli.commands[command].make_context(command, options)  # which fails for an option that it has not
    assert given["--service"] == [f"app.services.{name}" for name in SERVICES]


def test_prometheus_scrapes_the_workers_that_there_are() -> None:
    pages = ["127.0.0.1:7000", "127.0.0.1:7001"]
    token = Path('/run/a "token"')
    config = yaml.safe_load(with_targets((MONITORING / "prometheus.yml").read_text(), pages, token))
    assert config["scrape_configs"][0]["authorization"] == {"credentials_file": str(token)}
    targets = {job["job_name"]: job["static_configs"][0]["targets"] for job in config["scrape_configs"]}
    assert targets == {"pelton": pages, "kafka": []}
    assert config["rule_files"] == ["alerts.yml"]
    assert "alerting" not in config
