"""What is to be said of the brokers: their versions, how they replicate, their clocks and disks."""

from __future__ import annotations

from collections.abc import Iterator

from pelton.shell.doctor.findings import Examined, Finding

__all__ = ["judge_brokers"]

_METADATA = "metadata.version"
#: Requests that the engine needs, and from which version on: those of Kafka 2.5.
_NEEDED = {12: ("Heartbeat", 3), 9: ("OffsetFetch", 7), 28: ("TxnOffsetCommit", 3), 44: ("IncrementalAlterConfigs", 0)}
_CLOCK_WARN_S, _CLOCK_ERROR_S = 1.0, 60.0


def judge_brokers(examined: Examined) -> Iterator[Finding]:
    """Yield what is to be said."""
    yield from _versions(examined)
    yield from _replication(examined)
    yield from _limits(examined)
    yield from _clock(examined)


def _versions(examined: Examined) -> Iterator[Finding]:
    for server in examined.servers:
        for key, (name, version) in _NEEDED.items():
            if server.requests and server.requests.get(key, -1) < version:
                yield Finding(
                    "error",
                    "broker-version",
                    f"{server.name} does not know {name} {version}: it is older than Kafka 2.5",
                    "update the brokers: exactly-once needs to tell who commits (KIP-447)",
                )
    levels = {server.features[_METADATA] for server in examined.servers if _METADATA in server.features}
    highest = {level for level, _ in levels}
    if len(highest) > 1:
        yield Finding(
            "warning",
            "broker-versions-differ",
            f"the brokers are of several versions: they support {_METADATA} up to {sorted(highest)}",
            "finish the rolling update of the brokers",
        )
    elif any(in_force < level for level, in_force in levels):
        ((level, in_force),) = levels
        yield Finding(
            "note",
            "broker-upgrade-open",
            f"the brokers support {_METADATA} {level}, in force is {in_force}",
            "when the update has proved itself: kafka-features.sh upgrade --release-version <that of the brokers>",
        )


def _replication(examined: Examined) -> Iterator[Finding]:
    brokers = len(examined.servers)
    if not brokers:
        return
    if brokers < 3:
        yield Finding(
            "note",
            "few-brokers",
            f"the cluster has {brokers} broker(s): what one of them loses may be lost",
            "run three, with default.replication.factor=3 and min.insync.replicas=2",
        )
    for name, state in sorted({**examined.topics, **examined.internal}.items()):
        replicas, in_sync = state.replicas or 1, int(state.config.get("min.insync.replicas", "1"))
        if replicas == 1 and brokers > 1:
            yield Finding(
                "error" if name in examined.internal else "warning",
                "one-replica",
                f"topic {name} has one copy, though there are {brokers} brokers",
                "kafka-reassign-partitions.sh gives it more; default.replication.factor=3 makes new ones right",
            )
        elif in_sync > replicas:
            yield Finding(
                "error",
                "in-sync-above-replicas",
                f"topic {name} has {replicas} replica(s) and min.insync.replicas={in_sync}: nothing can be written",
                "raise the replicas, or lower min.insync.replicas to one less than they are",
            )
        elif in_sync == replicas > 1:
            yield Finding(
                "warning",
                "in-sync-is-all",
                f"topic {name} needs all of its {replicas} replicas: nothing can be written while one broker is away",
                f"set min.insync.replicas={replicas - 1}",
            )
        elif in_sync == 1 and replicas > 2:
            yield Finding(
                "warning",
                "in-sync-one",
                f"topic {name} takes records that one broker alone has: they are lost with it",
                "set min.insync.replicas=2",
            )
    for name, count in sorted(examined.under_replicated.items()):
        if count:
            yield Finding(
                "warning",
                "under-replicated",
                f"{count} partition(s) of {name} lack a replica",
                "see whether a broker is away, full, or slow; until then the next failure may stop writes",
            )


def _limits(examined: Examined) -> Iterator[Finding]:
    """Compare the group's and the transactions' times with what the brokers allow."""
    session = examined.settings.session_timeout_ms
    for server in examined.servers[:1]:
        low, high = (int(server.config.get(f"group.{end}.session.timeout.ms", "0") or 0) for end in ("min", "max"))
        if low and not low <= session <= high:
            yield Finding(
                "error",
                "session-refused",
                f"the session timeout is {session:,} ms, the brokers take {low:,} to {high:,}: no worker can join",
                "change BROKER_SESSION_TIMEOUT, or group.min/max.session.timeout.ms of the brokers",
            )
        longest = int(server.config.get("transaction.max.timeout.ms", "0") or 0)
        timeout = examined.settings.transaction_timeout_ms
        if longest and timeout > longest and examined.settings.guarantee == "exactly_once":
            yield Finding(
                "error",
                "transaction-refused",
                f"transactions may take {timeout:,} ms, the brokers allow {longest:,}: no worker can commit",
                "raise transaction.max.timeout.ms of the brokers",
            )
        kept_minutes = int(server.config.get("offsets.retention.minutes", "0") or 0)
        kept_ms = kept_minutes * 60_000
        longer = [
            name
            for name in sorted(examined.sources & examined.topics.keys())
            if not 0 <= int(examined.topics[name].config["retention.ms"]) <= kept_ms
        ]
        if kept_minutes and longer:
            yield Finding(
                "note",
                "positions-forgotten",
                f"positions of a group without members are forgotten after {kept_minutes // 1440} days, records of "
                f"{', '.join(longer)} are kept longer",
                "one that is stopped for so long begins anew: raise offsets.retention.minutes of the brokers",
            )


def _clock(examined: Examined) -> Iterator[Finding]:
    ahead_s = examined.clock_ahead_s
    if ahead_s is None:
        if examined.clock_why:
            yield Finding(
                "warning",
                "clock-unknown",
                f"the log's clock could not be compared with this machine's: {examined.clock_why}",
                "see what the message says; --no-probe leaves the comparison out",
            )
        return
    if abs(ahead_s) >= _CLOCK_WARN_S:
        way = "ahead of" if ahead_s > 0 else "behind"
        yield Finding(
            "error" if abs(ahead_s) >= _CLOCK_ERROR_S else "warning",
            "clock",
            f"this machine's clock is {abs(ahead_s):,.1f} s {way} the log's",
            "keep all clocks by NTP: lag in seconds, time-outs and what timers send go by them, and brokers refuse "
            "records of the future",
        )
