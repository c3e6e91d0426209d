"""Which of aiokafka's log lines a person gets to see."""

from __future__ import annotations

import inspect
import logging

import pytest
from aiokafka import client, cluster
from aiokafka.consumer import group_coordinator
from aiokafka.protocol.admin import SaslAuthenticateRequest

from pelton.log.kafka.chatter import quieten

COORDINATOR = "aiokafka.consumer.group_coordinator"


def said(caplog: pytest.LogCaptureFixture, level: int) -> list[tuple[str, str]]:
    """Return level and text of each line that comes through when loggers and handlers are at a level."""
    caplog.set_level(level)
    for name in (COORDINATOR, "aiokafka.cluster"):
        caplog.set_level(level, name)
    quieten()
    quieten()
    coordinator, metadata = logging.getLogger(COORDINATOR), logging.getLogger("aiokafka.cluster")
    coordinator.error("Group Coordinator Request failed: %s", 15)
    coordinator.info("Joined")
    try:
        raise ValueError("bug")
    except ValueError:
        coordinator.exception("Unexpected error")
    metadata.error("Topic %s not found in cluster metadata", "t")
    metadata.error("Topic %s is not authorized for this client", "t")
    return [(record.levelname, record.getMessage()) for record in caplog.records]


def test_retries_are_for_debug(caplog: pytest.LogCaptureFixture) -> None:
    assert said(caplog, logging.DEBUG) == [
        ("DEBUG", "Group Coordinator Request failed: 15"),
        ("INFO", "Joined"),
        ("ERROR", "Unexpected error"),
        ("DEBUG", "Topic t not found in cluster metadata"),
        ("ERROR", "Topic t is not authorized for this client"),
    ]


def test_what_a_person_must_act_upon_stays(caplog: pytest.LogCaptureFixture) -> None:
    assert said(caplog, logging.WARNING) == [
        ("ERROR", "Unexpected error"),
        ("ERROR", "Topic t is not authorized for this client"),
    ]


def test_aiokafka_says_what_we_listen_for() -> None:
    assert [module.log.name for module in (client, group_coordinator, cluster)] == [
        "aiokafka",
        COORDINATOR,
        "aiokafka.cluster",
    ]
    source = inspect.getsource(cluster)
    assert "Topic %s not found" in source
    assert "No broker metadata found" in source
    assert "Topic %s is not available" in source


def test_what_is_sent_to_authenticate_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    quieten()
    caplog.set_level(logging.DEBUG, "aiokafka.conn")
    request = SaslAuthenticateRequest(b"\0alice\0secret").prepare({36: (0, 1)})
    assert "secret" in f"{request}", "aiokafka's own text holds it"
    logging.getLogger("aiokafka.conn").debug("Request to %s:%d %d: %s", "host", 9092, 1, request)
    (line,) = caplog.messages
    assert line == f"Request to host:9092 1: {type(request).__name__}(not shown)"
