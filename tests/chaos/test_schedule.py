"""The schedule is the seed's, and has what it promises."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.chaos.schedule import KINDS, SESSION_S, schedule


def test_the_same_seed_gives_the_same_faults() -> None:
    assert schedule(7, 600) == schedule(7, 600)
    assert schedule(7, 600) != schedule(8, 600)


@pytest.mark.parametrize("seed", range(20))
def test_a_soak_of_an_hour_has_its_hundred_kills(seed: int) -> None:
    counts = Counter(fault.kind for lane in schedule(seed, 3_900) for fault in lane)
    assert counts["worker_kills"] >= 100
    assert counts["zombies"] >= 20
    assert counts["broker_kills"] >= 20
    assert min(counts.values()) >= 5


@pytest.mark.parametrize("seed", range(20))
def test_a_soak_of_five_minutes_has_every_kind(seed: int) -> None:
    assert {fault.kind for lane in schedule(seed, 300) for fault in lane} == set(KINDS)


def test_zombies_sleep_past_their_session_and_storms_have_steps() -> None:
    faults = [fault for lane in schedule(1, 3_900) for fault in lane]
    assert all(fault.lasts_s > SESSION_S for fault in faults if fault.kind == "zombies")
    assert all(1 <= step <= 3 for fault in faults for step in fault.steps)
    assert all(bool(fault.steps) == (fault.kind == "storms") for fault in faults)
