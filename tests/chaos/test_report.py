"""A report is clean only when nothing at all is wrong, and its last line is what a program reads."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from tests.chaos.oracle import Verdict
from tests.chaos.report import Report, quantile
from tests.chaos.schedule import KINDS


def report(verdict: Verdict, *failures: str) -> Report:
    return Report(
        seconds=60.4,
        seed=7,
        events=1_000,
        windows=40,
        faults=Counter(worker_kills=2, zombies=1),
        recoveries=[("worker_kills", 2.0), ("worker_kills", 4.0), ("zombies", 9.0)],
        verdicts={"input": Verdict(1_000), "copies": verdict, "windows": Verdict(5), "letters": Verdict(1)},
        failures=list(failures),
    )


def test_the_last_line_has_the_figures() -> None:
    *_, verdict, last = report(Verdict(990)).lines()
    assert verdict == "clean"
    figures = json.loads(last)
    assert set(KINDS) <= figures.keys()
    assert (figures["seconds"], figures["events"], figures["windows"], figures["outputs"]) == (60, 1_000, 40, 996)
    assert (figures["worker_kills"], figures["zombies"], figures["storms"]) == (2, 1, 0)
    assert (figures["missing"], figures["duplicate"], figures["foreign"], figures["misordered"]) == (0, 0, 0, 0)
    assert (figures["recovery_p50_s"], figures["recovery_p99_s"]) == (4.0, 9.0)


@pytest.mark.parametrize("kind", ["missing", "duplicate", "foreign", "misordered"])
def test_whatever_is_found_is_told_and_not_clean(kind: str) -> None:
    found = report(Verdict(990, **{kind: 1}, examples=("copies account-1: something",)))
    lines = list(found.lines())
    assert not found.clean
    assert lines[-2] == "NOT CLEAN"
    assert json.loads(lines[-1])[kind] == 1
    assert "  copies account-1: something" in lines


def test_a_worker_that_ended_is_not_clean() -> None:
    found = report(Verdict(990), "worker-1 ended by itself with 1")
    assert not found.clean
    assert "FAILURE: worker-1 ended by itself with 1" in found.lines()


def test_a_soak_that_judged_nothing_is_not_clean() -> None:
    assert not Report(seconds=1, seed=1).clean


def test_quantiles() -> None:
    assert quantile([], 0.5) is None
    assert quantile([3.0, 1.0, 2.04], 0.5) == 2.0
    assert quantile([float(n) for n in range(1, 101)], 0.99) == 100.0
