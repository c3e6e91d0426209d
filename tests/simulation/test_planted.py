"""The simulation is only worth what it finds: every planted bug, within a number of seeds that anybody can wait for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.simulation.planted import BUGS, Bug, hunt

SEEDS_MAX = 400


@pytest.mark.timeout(900)
@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: f"{bug.invariant} {bug.name}")
def test_a_planted_bug_is_found(bug: Bug, tmp_path: Path):
    found = hunt(bug, tmp_path, runs=SEEDS_MAX)
    assert found.said is not None, f"not found with {found.seeds} seeds"
