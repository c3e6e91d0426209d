"""Every query of Nexmark, as a real worker on either log, against polars over the same events."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

from bench.nexmark.catalogue import QUERIES
from bench.nexmark.generator import Workload
from bench.nexmark.running import Inputs, run

#: Enough for two days, windows that close, auctions that end, and sellers who come after their auctions.
EVENTS = 2_500


@pytest.fixture(scope="module")
def inputs() -> Inputs:
    """Forty seconds of events, in an order that is not quite that of their times."""
    return Inputs.of(Workload(EVENTS, seed=7, events_per_s=60, disorder=20))


@pytest.mark.parametrize("number", QUERIES)
async def test_the_results_are_those_of_polars(number: int, inputs: Inputs, broker_url: str, tmp_path: Path) -> None:
    outcome = await run(QUERIES[number], inputs, broker_url, tmp_path, name=f"nexmark-{uuid4().hex[:8]}", partitions=2)
    assert outcome.faults == []
    assert outcome.rows > 0


@pytest.mark.parametrize("number", [5, 9, 10, 11, 13, 15, 19, 20])
async def test_a_worker_goes_on_where_the_one_before_stopped(
    number: int, inputs: Inputs, broker_url: str, tmp_path: Path
) -> None:
    name = f"nexmark-{uuid4().hex[:8]}"
    outcome = await run(QUERIES[number], inputs, broker_url, tmp_path, name=name, partitions=3, restarts=2)
    assert outcome.faults == []
