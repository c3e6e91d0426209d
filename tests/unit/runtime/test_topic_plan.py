"""What is planned for topics that are not as declared, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from pelton.log.contract import TopicSpec
from pelton.log.upkeep import TopicState
from pelton.runtime.topic_plan import Change, Contents, growing, plan

KEYED, PLAIN, EMPTY = Contents(True, True), Contents(True, False), Contents(False, False)
WEEK = "604800000"


def state(partitions: int = 4, replicas: int | None = 3, **config: str) -> TopicState:
    settings = {"cleanup.policy": "delete", "retention.ms": WEEK, "min.insync.replicas": "2"}
    return TopicState(
        "t", partitions, replicas, settings | {key.replace("_", "."): value for key, value in config.items()}
    )


def planned(spec: TopicSpec, found: TopicState, contents: Contents = KEYED, **more: Any) -> list[Change]:
    return plan([spec], {"t": found}, {"t": contents}, **more)


def test_what_is_as_declared_needs_nothing() -> None:
    spec = TopicSpec("t", 4, 3, "delete", 604_800_000, {"min.insync.replicas": "2"})
    assert planned(spec, state()) == []
    assert planned(TopicSpec("t"), state()) == [], "what is not declared may be anything"
    assert planned(TopicSpec("t", cleanup_policy="compact,delete"), state(cleanup_policy="delete,compact")) == []


def test_what_is_missing_is_made_with_all_that_is_declared() -> None:
    (change,) = plan([TopicSpec("t", 4, 3, "compact", -1, {"segment.ms": "10"})], {}, {})
    assert (change.setting, change.found, change.verdict) == ("topic", "", "safe")
    assert not change.stops_workers
    assert change.declared == "4 partitions, 3 replicas, cleanup.policy=compact, segment.ms=10, retention.ms=-1"


@pytest.mark.parametrize(
    ("spec", "found", "setting", "verdict"),
    [
        ({"retention_ms": 604_800_001}, {}, "retention.ms", "safe"),
        ({"retention_ms": -1}, {}, "retention.ms", "safe"),
        ({"retention_ms": 1_000}, {}, "retention.ms", "loss"),
        ({"retention_ms": 1_000}, {"retention_ms": "-1"}, "retention.ms", "loss"),
        ({"config": {"retention.bytes": "9"}}, {"retention_bytes": "-1"}, "retention.bytes", "loss"),
        ({"config": {"retention.bytes": "90"}}, {"retention_bytes": "9"}, "retention.bytes", "safe"),
        ({"cleanup_policy": "compact"}, {}, "cleanup.policy", "loss"),
        ({"cleanup_policy": "compact"}, {"cleanup_policy": "compact,delete"}, "cleanup.policy", "safe"),
        ({"cleanup_policy": "delete"}, {"cleanup_policy": "compact"}, "cleanup.policy", "loss"),
        ({"cleanup_policy": "compact,delete"}, {"cleanup_policy": "compact"}, "cleanup.policy", "loss"),
        ({"config": {"min.insync.replicas": "3"}}, {}, "min.insync.replicas", "safe"),
        ({"config": {"min.insync.replicas": "4"}}, {}, "min.insync.replicas", "refused"),
        ({"config": {"unclean.leader.election.enable": "true"}}, {}, "unclean.leader.election.enable", "loss"),
        ({"config": {"segment.ms": "100"}}, {}, "segment.ms", "safe"),
        ({"replicas": 2}, {}, "replicas", "refused"),
    ],
)
def test_a_setting_is_changed_unless_something_is_lost(
    spec: dict[str, Any], found: Mapping[str, str], setting: str, verdict: str
) -> None:
    as_it_is = state()
    config = {**as_it_is.config, **{key.replace("_", "."): value for key, value in found.items()}}
    (change,) = planned(TopicSpec("t", **spec), replace(as_it_is, config=config))
    assert (change.setting, change.verdict) == (setting, verdict)
    assert bool(change.why) == (verdict != "safe"), "what is not simply done is explained"
    assert change.stops_workers == (setting == "cleanup.policy")


@pytest.mark.parametrize(
    ("declared", "contents", "verdict"),
    [(8, KEYED, "refused"), (8, PLAIN, "safe"), (8, EMPTY, "safe"), (3, EMPTY, "refused")],
)
def test_partitions(declared: int, contents: Contents, verdict: str) -> None:
    spec = TopicSpec("t", declared)
    assert growing([spec], {"t": state()}) == (["t"] if declared > 4 else [])
    (change,) = planned(spec, state(), contents)
    assert (change.setting, change.found, change.declared, change.verdict) == (
        "partitions",
        "4",
        str(declared),
        verdict,
    )
    assert bool(change.hint) == (verdict == "refused")
    assert change.stops_workers


def test_partitions_grow_while_nobody_runs_and_all_or_none() -> None:
    specs = [TopicSpec("a", 8), TopicSpec("b", 8)]
    states = {name: TopicState(name, 4, 1, state().config) for name in ("a", "b")}
    both = plan(specs, states, {"a": EMPTY, "b": EMPTY})
    assert [change.verdict for change in both] == ["safe", "safe"]
    running = plan(specs, states, {"a": EMPTY, "b": EMPTY}, running=True)
    assert [change.verdict for change in running] == ["refused", "refused"]
    assert "workers" in running[0].why
    one_keyed = plan(specs, states, {"a": EMPTY, "b": KEYED})
    assert [change.verdict for change in one_keyed] == ["refused", "refused"]
    assert "b must stay" in one_keyed[0].why


def test_the_embedded_log_ignores_what_it_does_not_know() -> None:
    spec = TopicSpec("t", 4, 3, config={"segment.ms": "1"})
    assert planned(spec, state(replicas=None)) == []
