"""Topics as declared, against topics as they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pelton.errors import TopicMismatch
from pelton.log.contract import TopicSpec
from pelton.log.kafka.aio import CreateTopicsRequest, DeleteTopicsRequest, DescribeConfigsRequest
from pelton.log.kafka.cluster import Again, Cluster, check
from pelton.log.kafka.codes import Code

__all__ = ["declare", "delete"]

_LANE = "admin"
_BROKER_DEFAULT = -1
_TOPIC = 2
_TIMEOUT_MS = 20_000
_POLICY = "cleanup.policy"


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
    policies = await _policies(cluster, [spec.name for spec in existing])
    for spec in existing:
        _compare(spec, found[spec.name], policies[spec.name])
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


async def _create(cluster: Cluster, specs: Sequence[TopicSpec]) -> set[str]:
    """Create topics; return those that this call made, and not another process at the same time."""
    created: set[str] = set()
    todo = {spec.name: spec for spec in specs}

    async def attempt() -> None:
        request = CreateTopicsRequest([_entry(spec) for spec in todo.values()], _TIMEOUT_MS, False)
        answer = await cluster.send(cluster.any_node(), request, _LANE)
        for name, code, detail in answer.topic_errors:
            if code != Code.TOPIC_ALREADY_EXISTS:
                check(code, f"create topic {name!r}", detail=detail or "")
                created.add(name)
            del todo[name]

    if todo:
        await cluster.retry(attempt, f"create topics {sorted(todo)}")
    return created


def _entry(spec: TopicSpec) -> tuple[object, ...]:
    """Return a topic as CreateTopics wants it."""
    config = {_POLICY: spec.cleanup_policy, **spec.config}
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


async def _policies(cluster: Cluster, names: Sequence[str]) -> dict[str, str]:
    """Return topic -> cleanup policy."""
    policies: dict[str, str] = {}

    async def attempt() -> None:
        request = DescribeConfigsRequest([(_TOPIC, name, [_POLICY]) for name in names])
        answer = await cluster.send(cluster.any_node(), request, _LANE)
        for code, detail, _, name, entries in answer.resources:
            check(code, f"read the settings of topic {name!r}", detail=detail or "")
            policies[name] = next((entry[1] for entry in entries if entry[0] == _POLICY), "")

    if names:
        await cluster.retry(attempt, "read the settings of topics")
    return policies


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
