"""Connectors' files, and what is told of them: the difference to be made, and why one failed."""

from __future__ import annotations

from pathlib import Path

import pytest

from pelton.connect.applying import MASK, difference, failure_text
from pelton.connect.kafka_connect import Part, Status, explained, read_connectors
from pelton.errors import ConfigurationError

TRACE = """\
org.apache.kafka.connect.errors.ConnectException: Couldn't obtain encoding for database bank
\tat io.debezium.connector.postgresql.connection.PostgresConnection.getDatabaseCharset(PostgresConnection.java:540)
\t... 9 more
Caused by: org.postgresql.util.PSQLException: FATAL: password authentication failed for user "bank"
  Server was asked at 10:00
\tat org.postgresql.core.v3.ConnectionFactoryImpl.doAuthentication(ConnectionFactoryImpl.java:704)
"""


def test_numbers_and_booleans_of_a_file_are_text(tmp_path: Path) -> None:
    (tmp_path / "b.json").write_text('{"name": "b", "config": {"tasks.max": 2, "flag": true, "name": "b"}}')
    (tmp_path / "a.json").write_text('{"name": "a", "config": {}}')
    (tmp_path / "notes.txt").write_text("no connector")
    first, second = read_connectors(tmp_path)
    assert (first.name, second.name) == ("a", "b")
    assert second.config == {"tasks.max": "2", "flag": "true"}


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"name": "a"}',
        '{"name": 1, "config": {}}',
        '{"name": "", "config": {}}',
        '{"name": "a", "config": {"x": []}}',
        '{"name": "a", "config": {"name": "b"}}',
    ],
)
def test_a_file_that_is_no_connector_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ConfigurationError, match=r"a\.json"):
        read_connectors(tmp_path)


def test_a_directory_without_connectors_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no connector"):
        read_connectors(tmp_path)


def test_the_difference_shows_no_secret() -> None:
    before = {"database.password": "hunter1", "sasl.jaas.config": "… password=x", "topic": "a"}
    after = {"database.password": "hunter2", "sasl.jaas.config": "${env:JAAS}", "topic": "a"}
    assert difference(before, after) == [
        f"~ database.password: {MASK} -> {MASK}",
        f"~ sasl.jaas.config: {MASK} -> ${{env:JAAS}}",
    ]
    assert difference(before, before) == []
    assert "+ topic: a" in difference(None, before)


def test_a_failure_is_told_without_its_stack() -> None:
    assert explained(TRACE) == (
        "ConnectException: Couldn't obtain encoding for database bank\n"
        'because PSQLException: FATAL: password authentication failed for user "bank"\n'
        "Server was asked at 10:00"
    )


def test_tasks_that_failed_alike_are_told_together() -> None:
    tasks = [
        Part("FAILED", "one:8083", 0, "a.E: x"),
        Part("RUNNING", "one:8083", 1),
        Part("FAILED", "b:1", 2, "a.E: x"),
    ]
    status = Status("customers", Part("RUNNING", "one:8083"), tasks)
    assert failure_text(status) == "task 0 on one:8083, task 2 on b:1 failed:\n    E: x"
    assert not status.running


def test_a_connector_without_tasks_does_not_run() -> None:
    assert not Status("a", Part("RUNNING"), []).running
    assert Status("a", Part("RUNNING"), [Part("RUNNING", id=0)]).running
