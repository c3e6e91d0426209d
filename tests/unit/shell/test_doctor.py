"""Each judgement of the doctor over made findings; what it finds by looking is in tests/compat/test_doctor.py."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pelton.config import EngineConfig
from pelton.log.upkeep import Disk, ServerState, TopicState
from pelton.runtime.topic_plan import Change
from pelton.shell.doctor import Examined, judge
from pelton.shell.doctor.findings import SEVERITIES, Lag, Settings

GIB = 1024**3
WEEK_S = 604_800
REQUESTS = {12: 4, 9: 8, 28: 3, 44: 1}
BROKER = {
    "group.min.session.timeout.ms": "6000",
    "group.max.session.timeout.ms": "1800000",
    "transaction.max.timeout.ms": "900000",
    "offsets.retention.minutes": "10080",
}
SERVERS = tuple(
    ServerState(f"broker {n}", BROKER, {"metadata.version": (27, 27)}, REQUESTS, [Disk("b", 100 * GIB, 50 * GIB)])
    for n in range(3)
)
ORDERS = TopicState(
    "orders",
    4,
    3,
    {
        "cleanup.policy": "delete",
        "retention.ms": str(WEEK_S * 1000),
        "min.insync.replicas": "2",
        "max.message.bytes": str(16 * 1024 * 1024),
    },
)
SETTINGS = Settings("exactly_once", 30_000, 3_000, 1, "", 15_000, "", "", "", EngineConfig())
WELL = Examined(
    "shop",
    SETTINGS,
    SERVERS,
    {"orders": ORDERS},
    {"__consumer_offsets": replace(ORDERS, name="__consumer_offsets")},
    frozenset({"orders"}),
    workers=3,
    numbers=4,
    clock_ahead_s=0.01,
    disks=[Disk("data", 100 * GIB, 50 * GIB)],
    places={"data": ("/data", "ext4"), "tables": ("/data/v1/tables", "ext4")},
    descriptors=65_536,
    memory_bytes=16 * GIB,
    tables=2,
    lags=[Lag("orders", 0, 5, 0, 9, 3.0)],
)


def broker(**changed: Any) -> tuple[ServerState, ...]:
    return (replace(SERVERS[0], **changed), *SERVERS[1:])


def settings(**changed: Any) -> Settings:
    return replace(SETTINGS, **changed)


def engine(**changed: Any) -> Settings:
    return replace(SETTINGS, engine=EngineConfig(**changed))


def orders(replicas: int = 3, **config: str) -> dict[str, TopicState]:
    given = {key.replace("_", "."): value for key, value in config.items()}
    return {"orders": replace(ORDERS, replicas=replicas, config={**ORDERS.config, **given})}


def on(kind: str, what: str = "data") -> dict[str, tuple[str, str]]:
    return {what: ("/data", kind)}


SLOW = engine(commit_interval_ms=14_000)


def test_there_is_nothing_to_say_where_all_is_well() -> None:
    assert judge(WELL) == []


@pytest.mark.parametrize(
    ("check", "severity", "found"),
    [
        ("broker-version", "error", {"servers": broker(requests={**REQUESTS, 28: 2})}),
        ("broker-versions-differ", "warning", {"servers": broker(features={"metadata.version": (29, 27)})}),
        (
            "broker-upgrade-open",
            "note",
            {"servers": [replace(one, features={"metadata.version": (29, 27)}) for one in SERVERS]},
        ),
        ("few-brokers", "note", {"servers": SERVERS[:1], "topics": {}, "internal": {}}),
        ("one-replica", "warning", {"topics": orders(1)}),
        ("one-replica", "error", {"internal": orders(1)}),
        ("in-sync-above-replicas", "error", {"topics": orders(min_insync_replicas="4")}),
        ("in-sync-is-all", "warning", {"topics": orders(min_insync_replicas="3")}),
        ("in-sync-one", "warning", {"topics": orders(min_insync_replicas="1")}),
        ("under-replicated", "warning", {"under_replicated": {"orders": 2}}),
        ("session-refused", "error", {"settings": settings(session_timeout_ms=2_000_000)}),
        ("transaction-refused", "error", {"servers": broker(config={**BROKER, "transaction.max.timeout.ms": "9"})}),
        ("positions-forgotten", "note", {"servers": broker(config={**BROKER, "offsets.retention.minutes": "60"})}),
        ("clock", "warning", {"clock_ahead_s": -2.0}),
        ("clock", "error", {"clock_ahead_s": 61.0}),
        ("clock-unknown", "warning", {"clock_ahead_s": None, "clock_why": "may not write"}),
        ("disk", "warning", {"disks": [Disk("data", 100 * GIB, 5 * GIB)]}),
        ("disk", "error", {"disks": [Disk("data", 100 * GIB, 2 * GIB)]}),
        ("disk", "error", {"servers": broker(disks=[Disk("b", GIB, GIB // 20)])}),
        ("log-on-network", "error", {"places": on("nfs4", "log")}),
        ("log-in-memory", "error", {"places": on("tmpfs", "log")}),
        ("state-in-memory", "warning", {"places": on("tmpfs")}),
        ("state-on-network", "warning", {"places": on("cifs")}),
        ("not-writable", "error", {"unwritable": ["/data"]}),
        ("open-files", "warning", {"descriptors": 1_024}),
        ("open-files", "error", {"descriptors": 256}),
        ("memory", "warning", {"memory_bytes": GIB // 2}),
        ("host-unknown", "warning", {"settings": settings(web_host="nowhere"), "host_known": False}),
        ("co-partitioning", "error", {"mispartitioned": "agent a uses table t"}),
        ("topics-missing", "note", {"changes": [Change("bills", "topic", "", "4 partitions")]}),
        ("topic-differs", "error", {"changes": [Change("orders", "partitions", "4", "8", "refused", "keys", "anew")]}),
        ("topic-differs", "warning", {"changes": [Change("orders", "retention.ms", "4", "8")]}),
        ("records-lost", "error", {"lags": [Lag("orders", 0, 5, 7, 9, 1.0)]}),
        ("retention-and-lag", "warning", {"lags": [Lag("orders", 0, 5, 0, 9, WEEK_S * 0.6)]}),
        ("retention-and-lag", "error", {"lags": [Lag("orders", 0, 5, 0, 9, WEEK_S * 1.1)]}),
        ("record-sizes", "note", {"topics": orders(max_message_bytes="1048588")}),
        ("dead-letters", "warning", {"letters": 3}),
        ("heartbeat", "warning", {"settings": settings(heartbeat_interval_ms=12_000)}),
        ("heartbeat", "error", {"settings": settings(heartbeat_interval_ms=30_000)}),
        ("commit-and-session", "warning", {"settings": replace(SLOW, session_timeout_ms=20_000)}),
        ("commit-and-transaction", "warning", {"settings": engine(commit_interval_ms=15_000)}),
        ("shutdown-and-session", "warning", {"settings": engine(shutdown_timeout_ms=30_000)}),
        ("watchdog", "error", {"settings": engine(watchdog_exit_ms=10_000)}),
        ("static-session", "warning", {"settings": settings(instance_id="w-0", session_timeout_ms=9_000)}),
        ("at-least-once-tables", "warning", {"settings": settings(guarantee="at_least_once")}),
        ("not-synchronous", "warning", {"settings": settings(synchronous="off")}),
        ("web-open", "error", {"settings": settings(web_refused="it listens to all")}),
        ("idle-workers", "warning", {"workers": 5}),
        ("no-place-for-standbys", "warning", {"workers": 1}),
    ],
)
def test_what_is_wrong_is_said_with_what_to_do(check: str, severity: str, found: dict[str, Any]) -> None:
    (finding,) = judge(replace(WELL, **found))
    assert (finding.check, finding.severity) == (check, severity)
    assert finding.message
    assert finding.hint


def test_the_worst_comes_first() -> None:
    found = judge(replace(WELL, letters=3, clock_ahead_s=100.0, topics=orders(max_message_bytes="1000")))
    assert [finding.severity for finding in found] == ["error", "warning", "note"]
    assert sorted(SEVERITIES.values()) == [0, 1, 2]


def test_what_is_kept_for_ever_is_never_deleted_unread() -> None:
    late = [Lag("orders", 0, None, 0, 9, 10 * WEEK_S)]
    assert judge(replace(WELL, lags=late, topics=orders(retention_ms="-1", cleanup_policy="compact"))) != []
    kept = replace(WELL, lags=late, topics=orders(retention_ms="-1"))
    assert [finding.check for finding in judge(kept)] == ["positions-forgotten"]
