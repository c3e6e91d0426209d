"""What the settings on Kafka are worth: the figures as the page has them."""

from __future__ import annotations

import pytest

from bench.settings import compressions, measured, ratios, records


def test_a_table_is_in_terms_of_the_value_in_force() -> None:
    found = ratios({"1": 50.0, "**10**": 200.0, "100": 2_000.4}, "records", "records/s")
    assert found.splitlines() == [
        "| records | records/s | ratio |",
        "| --- | --- | --- |",
        "| 1 | 50.0 | 0.25 |",
        "| **10** | 200 | 1.00 |",
        "| 100 | 2,000 | 10.00 |",
    ]


async def test_variants_take_turns_and_the_middle_counts() -> None:
    said: list[str] = []

    def variant(name: str, *values: float) -> tuple[str, object]:
        coming = iter(values)

        async def run() -> float:
            said.append(name)
            return next(coming)

        return name, run

    found = await measured(dict([variant("a", 1, 9, 2), variant("b", 5, 4, 6)]), 3)  # type: ignore[arg-type]
    assert found == {"a": 2, "b": 5}
    assert said == ["a", "b"] * 3


def test_all_ways_to_compress_are_smaller_than_none() -> None:
    (name, _, plain), *others = compressions(5_000)
    assert name == "none"
    assert plain == pytest.approx(218, abs=30)
    assert all(size < plain for _, _, size in others)
    sizes = {name: size for name, _, size in others}
    assert sizes["lz4, level 9"] < sizes["**lz4, level 1**"]


def test_records_are_spread_over_the_partitions() -> None:
    batches = records("t", 10, 4)
    assert [(batch.partition, len(batch)) for batch in batches] == [(0, 3), (1, 3), (2, 2), (3, 2)]
    assert len(records("t", 1)) == 1, "empty batches are left out"
