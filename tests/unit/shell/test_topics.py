"""Topics as they are declared, and the messages made for them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pelton import App, Topic
from pelton.errors import ConfigurationError
from pelton.shell.topic import as_headers
from pelton.shell.topic_keeping import upkeep


class Drink(msgspec.Struct):
    """A command."""


@pytest.fixture
def app(tmp_path: Path) -> App:
    return App("topics", datadir=str(tmp_path))


def test_headers_keep_their_order_and_repetitions() -> None:
    assert as_headers(None) == ()
    assert as_headers({"a": "1", "b": b"2"}) == (("a", b"1"), ("b", b"2"))
    assert as_headers([("a", "1"), ("a", b"2")]) == (("a", b"1"), ("a", b"2"))


def test_messages(app: App) -> None:
    topic: Topic[Any, Any] = app.topic("t", key_type=str, value_type=int)
    message = topic.outgoing("k", 7, partition=3, timestamp=1.5, headers={"h": "1"})
    assert (message.key, message.value, message.partition, message.timestamp_ms) == (b"k", b"7", 3, 1500)
    assert topic.outgoing(None, None).value is None
    assert topic.outgoing(b"\xff", b"raw").key == b"\xff", "bytes stay what they are"


@pytest.mark.parametrize(
    "wrong",
    [
        {"timestamp": float("nan")},
        {"timestamp": float("inf")},
        {"timestamp": 1e300},
        {"timestamp": -(2.0**60)},
        {"headers": [("a", 7)]},
        {"headers": [("\ud800", b"1")]},
    ],
)
def test_what_no_log_can_hold_is_refused_where_it_is_sent(app: App, wrong: dict[str, Any]) -> None:
    """Found out at the commit, it would fail the commit of all other events, again and again."""
    with pytest.raises((TypeError, ValueError, OverflowError)):
        app.topic("t").outgoing(b"k", b"v", **wrong)


@pytest.mark.parametrize(
    ("options", "policy"),
    [
        ({}, "delete"),
        ({"compacting": True}, "compact"),
        ({"compacting": True, "deleting": True}, "compact,delete"),
        ({"deleting": True}, "delete"),
    ],
)
def test_cleanup_policies(app: App, options: dict[str, Any], policy: str) -> None:
    assert app.topic("t", **options).specs()[0].cleanup_policy == policy


def test_layout(app: App) -> None:
    (spec,) = app.topic(
        "t", partitions=3, replicas=2, retention=timedelta(minutes=1), config={"max.message.bytes": 10}
    ).specs()
    assert (spec.partitions, spec.replicas, spec.retention_ms) == (3, 2, 60_000)
    assert dict(spec.config) == {"max.message.bytes": "10"}


def test_several_topics_in_one_are_read_and_not_sent_to(app: App) -> None:
    both = app.topic("a", "b")
    assert [spec.name for spec in both.specs()] == ["a", "b"]
    with pytest.raises(ConfigurationError, match="several topics"):
        both.outgoing(None, 1)


def test_topics_derived_from_others(app: App) -> None:
    topic = app.topic("t", key_type=str, value_type=int, partitions=3)
    other = topic.derive_topic(prefix="x-", suffix="-y", value_type=str)
    assert (str(other), other.key_type, other.value_type, other.partitions) == ("x-t-y", str, str, 3)


def test_send_soon_needs_an_event(app: App) -> None:
    with pytest.raises(ConfigurationError, match="within an agent"):
        app.topic("t").send_soon(value=1)


async def test_commands_that_come_before_a_worker_make_their_topic_as_it_is_declared(tmp_path: Path) -> None:
    app = App("gateway", broker=f"sqlite:///{tmp_path}/log.sqlite", datadir=str(tmp_path))
    tabs = app.entity_client("tabs", of="bar", commands=Drink, partitions=3, retention=90)
    try:
        await app.open_log()
        await (await tabs.send("ann", Drink()))
        (made,) = (await upkeep(app.log_connection).states(["bar-tabs-commands"])).values()
        assert (made.partitions, made.config["retention.ms"]) == (3, "90000")
    finally:
        await app.close_log()
