# pyright: basic
"""Topics and groups looked at and changed from outside; see `pelton.log.upkeep`."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from pelton.errors import PeltonError
from pelton.log.kafka.admin_requests import (
    ApiVersionsRequest,
    DescribeLogDirsRequest,
    IncrementalAlterConfigsRequest,
    features,
)
from pelton.log.kafka.aio import CreatePartitionsRequest, DescribeConfigsRequest, KafkaError, LeaveGroupRequest
from pelton.log.kafka.cluster import GROUP, Again, Cluster, check
from pelton.log.kafka.codes import Code
from pelton.log.kafka.topics import settings_of
from pelton.log.upkeep import Disk, ServerState, TopicState

__all__ = ["configure", "dismiss", "grow", "servers", "states"]

log = logging.getLogger(__name__)

_LANE = "admin"
_TOPIC, _BROKER = 2, 4
_TIMEOUT_MS = 20_000
_ANY_MEMBER = ""
_NOBODY = frozenset({Code.UNKNOWN_MEMBER_ID, Code.GROUP_ID_NOT_FOUND})


async def states(cluster: Cluster, topics: Iterable[str]) -> dict[str, TopicState]:
    """Return topic -> how it is; topics that do not exist are missing."""
    wanted = set(topics)
    await cluster.refresh()
    layouts = {name: layout for name, layout in cluster.layouts().items() if name in wanted}
    settings = await settings_of(cluster, sorted(layouts))
    return {
        name: TopicState(name, *layouts[name], {key: value or "" for key, value in found.items()})
        for name, found in settings.items()
    }


async def configure(cluster: Cluster, topic: str, config: Mapping[str, str]) -> None:
    """Change settings of a topic, and return when the brokers tell the new ones."""
    doing = f"change the settings of topic {topic!r}"

    async def attempt() -> None:
        request = IncrementalAlterConfigsRequest(_TOPIC, topic, config)
        answer = await cluster.send(cluster.any_node(), request, _LANE)
        for code, detail, *_ in answer.responses:
            check(code, doing, detail=detail or "")

    async def told() -> None:
        found = (await settings_of(cluster, [topic], *config))[topic]
        if found != dict(config):
            raise Again(f"{topic} has its old settings still")

    await cluster.retry(attempt, doing)
    await cluster.retry(told, f"see the new settings of topic {topic!r}")


async def grow(cluster: Cluster, topic: str, partitions: int) -> None:
    """Give a topic more partitions, and return when they are there."""
    doing = f"give topic {topic!r} {partitions} partitions"

    async def attempt() -> None:
        entry: Any = (topic, (partitions, None))
        answer = await cluster.send(cluster.any_node(), CreatePartitionsRequest([entry], _TIMEOUT_MS, False), _LANE)
        for _, code, detail in answer.topic_errors:
            check(code, doing, detail=detail or "")

    async def visible() -> None:
        await cluster.refresh()
        if cluster.partition_counts().get(topic) != partitions:
            raise Again(f"{topic} has its old partitions still")

    await cluster.retry(attempt, doing)
    await cluster.retry(visible, f"see the partitions of topic {topic!r}")


async def dismiss(cluster: Cluster, group_id: str, instance_id: str) -> bool:
    """Take a member out of its group by its name alone (KIP-345); return whether there was one."""
    doing = f"take {instance_id!r} out of group {group_id!r}"

    async def attempt() -> bool:
        answer = await cluster.to_coordinator(GROUP, group_id, LeaveGroupRequest(group_id, _ANY_MEMBER, instance_id))
        codes = [answer.error_code, *(code for _, _, code in answer.members)]
        if _NOBODY.intersection(codes):
            return False
        for code in codes:
            check(code, doing)
        return True

    return await cluster.retry(attempt, doing)


async def servers(cluster: Cluster) -> list[ServerState]:
    """Return the brokers that can be reached, with what each tells of itself; what it does not tell is empty."""
    await cluster.refresh()
    found: list[ServerState] = []
    for node, address in sorted(cluster.nodes().items()):
        name = f"broker {node} ({address})"
        try:
            versions = await cluster.send(node, ApiVersionsRequest(), _LANE)
        except (KafkaError, NotImplementedError) as error:
            # One that is away shows by its partitions, which lack a replica. Kafka before 2.4 has no version 3.
            log.debug("%s tells nothing of itself: %s", name, error)
            continue
        requests = {key: highest for key, _, highest, *_ in versions.api_versions}
        found.append(
            ServerState(
                name,
                await _config(cluster, node, name),
                features(versions.tags),
                requests,
                await _disks(cluster, node, name),
            )
        )
    return found


async def _config(cluster: Cluster, node: int, name: str) -> dict[str, str]:
    try:
        answer = await cluster.send(node, DescribeConfigsRequest([(_BROKER, str(node), None)]), _LANE)
        ((code, detail, _, _, entries),) = answer.resources
        check(code, f"read the settings of {name}", detail=detail or "")
    except (KafkaError, PeltonError, Again) as error:
        log.debug("%s does not tell its settings: %s", name, error)
        return {}
    return {entry[0]: entry[1] or "" for entry in entries}


async def _disks(cluster: Cluster, node: int, name: str) -> list[Disk]:
    try:
        answer = await cluster.send(node, DescribeLogDirsRequest(), _LANE)
        check(answer.error_code, f"read the disks of {name}")
    except (KafkaError, PeltonError, Again, NotImplementedError) as error:  # Kafka before 3.3 does not know their sizes
        log.debug("%s does not tell its disks: %s", name, error)
        return []
    sizes = [(place, total, free) for _, place, _, total, free, _ in answer.results]
    return [Disk(f"{name}: {place}", total, free) for place, total, free in sizes if total > 0]
