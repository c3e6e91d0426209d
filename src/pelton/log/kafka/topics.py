"""Topics as declared, against topics as they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pelton.batch import TopicPartition
from pelton.errors import TopicMismatch
from pelton.log.contract import RecordRules, TopicSpec
from pelton.log.kafka.aio import CreateTopicsRequest, DeleteRecordsRequest, DeleteTopicsRequest, DescribeConfigsRequest
from pelton.log.kafka.cluster import Again, Cluster, check
from pelton.log.kafka.codes import Code

__all__ = ["batch_bytes_max", "declare", "delete", "deletions_told", "record_rules", "settings_of", "trim"]

_LANE = "admin"
_BROKER_DEFAULT = -1
_TOPIC = 2
_TIMEOUT_MS = 20_000
_POLICY = "cleanup.policy"
_BATCH_BYTES_MAX = "max.message.bytes"
_DELETIONS = "delete.retention.ms"
_CLOCK, _BEFORE, _AFTER = (f"message.timestamp.{name}" for name in ("type", "before.max.ms", "after.max.ms"))
#: Before Kafka 3.6 there was one bound for both ways.
_DIFFERENCE = "message.timestamp.difference.max.ms"
_UNBOUNDED_MS = 2**63 - 1
_NOT_TOLD = frozenset({Code.UNKNOWN_TOPIC_OR_PARTITION, Code.TOPIC_AUTHORIZATION_FAILED, Code.INVALID_TOPIC})
#: What agents send, and dead letters, have the timestamps of their events. From Kafka 4.0 on, a topic refuses those
#: that are an hour ahead of the broker, and one such event would fail every commit.
_ANY_TIME = {"message.timestamp.after.max.ms": str(2**63 - 1)}


async def declare(cluster: Cluster, specs: Iterable[TopicSpec]) -> dict[str, int]:
    """Create the topics that are missing and check those that exist; return topic -> number of partitions.

    Raises: TopicMismatch, ConfigurationError (the broker refuses a setting), UnavailableError.
    """
    wanted = {spec.name: spec for spec in specs}
    await cluster.refresh()
    missing = [spec for name, spec in wanted.items() if name not in cluster.partition_counts()]
    created = await _create(cluster, missing)
    found = await _visible(cluster, wanted)
    existing = [spec for name, spec in wanted.items() if name not in created]
    told = await settings_of(cluster, [spec.name for spec in existing], _POLICY)
    for spec in existing:
        _compare(spec, found[spec.name], told[spec.name].get(_POLICY, ""))
    return found


async def delete(cluster: Cluster, topics: Iterable[str]) -> None:
    """Delete topics and wait until they are gone; names that do not exist are ignored."""
    names = sorted(set(topics))

    async def attempt() -> None:
        answer = await cluster.send(cluster.any_node(), DeleteTopicsRequest(names, _TIMEOUT_MS), _LANE)
        for name, code in answer.topic_error_codes:
            if code != Code.UNKNOWN_TOPIC_OR_PARTITION:
                check(code, f"delete topic {name!r}")

    async def gone() -> None:
        await cluster.refresh()
        if left := cluster.partition_counts().keys() & set(names):
            raise Again(f"{sorted(left)} still there")

    if names:
        await cluster.retry(attempt, "delete topics")
        await cluster.retry(gone, "see topics deleted")


async def trim(cluster: Cluster, ends: Mapping[TopicPartition, int]) -> None:
    """Delete the records of partitions before an offset each. Raises: UnavailableError, ConfigurationError."""
    todo = dict(ends)

    async def attempt() -> None:
        for node, partitions in cluster.by_leader(list(todo)).items():
            topics: dict[str, list[tuple[int, int]]] = {}
            for partition in partitions:
                topics.setdefault(partition.topic, []).append((partition.partition, todo[partition]))
            answer = await cluster.send(node, DeleteRecordsRequest(list(topics.items()), _TIMEOUT_MS), _LANE)
            for topic, entries, *_tags in answer.topics:
                for number, _first, code, *_more in entries:
                    check(code, f"delete what was read of {topic}[{number}]", TopicPartition(topic, number))
                    del todo[TopicPartition(topic, number)]

    await cluster.retry(attempt, "delete what was read")


async def _create(cluster: Cluster, specs: Sequence[TopicSpec]) -> set[str]:
    """Create topics; return those that this call made, and not another process at the same time."""
    created: set[str] = set()
    todo = {spec.name: spec for spec in specs}
    defaults = _ANY_TIME

    async def attempt() -> None:
        nonlocal defaults
        request = CreateTopicsRequest([_entry(spec, defaults) for spec in todo.values()], _TIMEOUT_MS, False)
        answer = await cluster.send(cluster.any_node(), request, _LANE)
        for name, code, detail in answer.topic_errors:
            if code == Code.INVALID_CONFIG and defaults:
                defaults = {}  # a broker before Kafka 3.6 does not know the setting, and takes any timestamp
                raise Again("the broker does not know a setting")
            if code != Code.TOPIC_ALREADY_EXISTS:
                check(code, f"create topic {name!r}", detail=detail or "")
                created.add(name)
            del todo[name]

    if todo:
        await cluster.retry(attempt, f"create topics {sorted(todo)}")
    return created


def _entry(spec: TopicSpec, defaults: Mapping[str, str]) -> tuple[object, ...]:
    """Return a topic as CreateTopics wants it. defaults: settings that the declaration may override."""
    config = {**defaults, _POLICY: spec.cleanup_policy, **spec.config}
    if spec.retention_ms is not None:
        config["retention.ms"] = str(spec.retention_ms)
    return (
        spec.name,
        _BROKER_DEFAULT if spec.partitions is None else spec.partitions,
        _BROKER_DEFAULT if spec.replicas is None else spec.replicas,
        [],
        list(config.items()),
    )


async def _visible(cluster: Cluster, wanted: Mapping[str, TopicSpec]) -> dict[str, int]:
    """Wait until every topic is in the metadata, which follows its creation by some milliseconds."""

    async def attempt() -> dict[str, int]:
        counts = cluster.partition_counts()
        if absent := wanted.keys() - {name for name, count in counts.items() if count}:
            raise Again(f"{sorted(absent)} not there yet", moved=True)
        return {name: counts[name] for name in wanted}

    return await cluster.retry(attempt, "see topics created")


async def batch_bytes_max(cluster: Cluster, names: Iterable[str]) -> dict[str, int]:
    """Return topic -> how large a sealed batch of it may be; those whose settings may not be read are missing."""
    return await _numbers(cluster, names, _BATCH_BYTES_MAX)


async def deletions_told(cluster: Cluster, names: Iterable[str]) -> dict[str, int]:
    """Return topic -> for how long it says that a key is gone; those whose settings may not be read are missing."""
    return await _numbers(cluster, names, _DELETIONS)


async def _numbers(cluster: Cluster, names: Iterable[str], setting: str) -> dict[str, int]:
    told = await settings_of(cluster, sorted(names), setting, missing_ok=True)
    return {name: int(settings[setting]) for name, settings in told.items() if settings.get(setting)}


async def record_rules(cluster: Cluster, names: Iterable[str]) -> dict[str, RecordRules]:
    """Return topic -> what it asks of its records; those whose settings may not be read are missing."""
    wanted = (_POLICY, _CLOCK, _BEFORE, _AFTER, _DIFFERENCE)
    told = await settings_of(cluster, sorted(names), *wanted, missing_ok=True)
    return {name: _rules(settings) for name, settings in told.items()}


def _rules(settings: Mapping[str, str]) -> RecordRules:
    def bound(name: str) -> int | None:
        value = int(settings.get(name) or settings.get(_DIFFERENCE) or _UNBOUNDED_MS)
        return value if value < _UNBOUNDED_MS and settings.get(_CLOCK) != "LogAppendTime" else None

    return RecordRules("compact" in settings.get(_POLICY, ""), bound(_BEFORE), bound(_AFTER))


async def settings_of(
    cluster: Cluster, names: Sequence[str], *wanted: str, missing_ok: bool = False
) -> dict[str, dict[str, str]]:
    """Return topic -> those of its settings that the broker knows.

    wanted: the names of settings; all are told when there are none.
    missing_ok: leave topics out that do not exist or may not be described, instead of raising.
    """
    found: dict[str, dict[str, str]] = {}

    async def attempt() -> None:
        request = DescribeConfigsRequest([(_TOPIC, name, list(wanted) or None) for name in names])
        answer = await cluster.send(cluster.any_node(), request, _LANE)
        for code, detail, _, name, entries in answer.resources:
            if missing_ok and code in _NOT_TOLD:
                continue
            check(code, f"read the settings of topic {name!r}", detail=detail or "")
            found[name] = {entry[0]: entry[1] for entry in entries if not wanted or entry[0] in wanted}

    if names:
        await cluster.retry(attempt, "read the settings of topics")
    return found


def _compare(spec: TopicSpec, partitions: int, policy: str) -> None:
    """Raise TopicMismatch when a topic is not as declared."""
    if spec.partitions is not None and spec.partitions != partitions:
        raise TopicMismatch(
            f"topic {spec.name!r} has {partitions} partitions, expected {spec.partitions}",
            hint=f"declare partitions={partitions}, or delete the topic and start anew",
            topic=spec.name,
        )
    if set(spec.cleanup_policy.split(",")) != set(policy.split(",")):
        raise TopicMismatch(
            f"topic {spec.name!r} has cleanup.policy={policy}, expected {spec.cleanup_policy}",
            hint=f"kafka-configs.sh --alter --entity-type topics --entity-name {spec.name} "
            f"--add-config cleanup.policy=[{spec.cleanup_policy}]",
            topic=spec.name,
        )
