"""What a real worker tells Prometheus of its partitions, while these go from one worker to another."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.lifecycle.worker_processes import Scene, Worker, opened
from tests.metrics_page import documented_labels, documented_name

pytestmark = pytest.mark.timeout(300)

PARTITIONS = 4
#: Of a partition that works, and has had an event.
ALWAYS = {
    "pelton_partition_running", "pelton_records_fetched_total", "pelton_agent_events_total", "pelton_lag_records",
    "pelton_lag_seconds", "kafka_consumergroup_lag", "pelton_cache_entries", "pelton_store_keys",
}  # fmt: skip


@pytest.fixture
async def scene(broker_url: str, tmp_path: Path) -> AsyncIterator[Scene]:
    async with opened(broker_url, tmp_path, "tests.lifecycle.querying_program", "QUERYING") as scene:
        yield scene


def told_of_partitions(page: str) -> dict[str, set[int]]:
    """Return of which partition numbers each metric tells; of each series that it has the labels of its page."""
    documented = documented_labels()
    found: dict[str, set[int]] = defaultdict(set)
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            name = documented_name(sample.name)
            assert sample.labels.keys() - {"le"} == documented[name], sample
            if "partition" in sample.labels:
                found[name].add(int(sample.labels["partition"]))
    return found


async def until_told_of(worker: Worker, numbers: list[int]) -> None:
    """Wait until a worker's page tells of these partitions, of all of them, and of no other."""

    def only_these(status: int, page: str) -> bool:
        if status != 200:
            return False
        found = told_of_partitions(page)
        return set().union(*found.values()) == set(numbers) and all(found[name] == set(numbers) for name in ALWAYS)

    await worker.until("metrics", only_these)


async def test_the_series_of_a_partition_go_where_it_goes(scene: Scene) -> None:
    first = scene.start()
    accounts = [scene.key_of([number], PARTITIONS) for number in range(PARTITIONS)]
    events = [(account, {"amount": 1, "at": 1_750_000_020.0}) for account in accounts]
    await scene.append("payments", PARTITIONS, *events)
    await scene.settled([first], PARTITIONS)
    await until_told_of(first, list(range(PARTITIONS)))

    second = scene.start()
    owned = await scene.settled([first, second], PARTITIONS)
    await scene.append("payments", PARTITIONS, *events)
    for worker, numbers in owned.items():
        await until_told_of(worker, numbers)

    await second.stop()
    await scene.settled([first], PARTITIONS)
    await scene.append("payments", PARTITIONS, *events)
    await until_told_of(first, list(range(PARTITIONS)))
