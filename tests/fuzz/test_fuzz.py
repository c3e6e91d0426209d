"""A bounded run of the fuzz: every record is processed or dead-lettered, once, and a dead letter is its record."""

from __future__ import annotations

from pathlib import Path

from tests.fuzz.fuzz_records import KINDS, NAMES, records
from tests.fuzz.fuzz_run import run


def test_the_same_seed_gives_the_same_records_of_every_kind() -> None:
    some = list(records(5, 20_000))
    assert some == list(records(5, 20_000))
    assert some != list(records(6, 20_000))
    assert {NAMES[record.kind] for record in some} == set(KINDS)
    assert any(record.key is None for record in some)
    assert {-(2**63), 2**63 - 1} < {record.timestamp_ms for record in some}


async def test_every_record_is_processed_or_dead_lettered(broker_url: str, tmp_path: Path) -> None:
    count = 20_000 if broker_url.startswith("sqlite") else 5_000
    report = await run(broker_url, tmp_path, count=count, seed=count)
    assert report.right, report.examples
    # The topic that two agents read counts twice.
    assert report.processed + report.dead_lettered > count
    assert min(report.processed, report.dead_lettered) > count // 10
