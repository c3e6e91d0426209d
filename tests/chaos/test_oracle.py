"""The judge is judged: whatever is planted, it finds."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.chaos.events import event, identity
from tests.chaos.oracle import Verdict, judge_collection, judge_input, judge_sequences, judge_table

SENT = {"a": [b"1", b"2", b"3"], "b": [b"1"]}


def counts(verdict: Verdict) -> tuple[int, int, int, int]:
    return verdict.missing, verdict.duplicate, verdict.foreign, verdict.misordered


def test_an_event_is_always_the_same_and_tells_which_it_is() -> None:
    events = [event(seed, partition, number) for seed in (1, 2) for partition in (0, 1) for number in range(500)]
    assert events == [
        event(seed, partition, number) for seed in (1, 2) for partition in (0, 1) for number in range(500)
    ]
    assert len(set(events)) == len(events)
    assert [identity(value) for _, value in events[:1000]] == [(p, n) for p in (0, 1) for n in range(500)]
    assert identity(b"{}") is None


def test_what_is_right_is_clean() -> None:
    verdict = judge_sequences("sent", SENT, SENT)
    assert verdict.clean
    assert verdict.judged == 4


@pytest.mark.parametrize(
    ("planted", "expected"),
    [
        ({"a": [b"1", b"3"], "b": [b"1"]}, (1, 0, 0, 0)),
        ({"a": [b"1", b"2", b"3"]}, (1, 0, 0, 0)),
        ({"a": [b"1", b"2", b"2", b"3"], "b": [b"1"]}, (0, 1, 0, 0)),
        ({"a": [b"2", b"1", b"3"], "b": [b"1"]}, (0, 0, 0, 2)),
        ({"a": [b"1", b"2", b"3"], "b": [b"9", b"1"]}, (0, 0, 1, 0)),
        ({**SENT, "c": [b"1"]}, (0, 0, 1, 0)),
        ({"a": [b"1", b"2", b"9"], "b": [b"1"]}, (1, 0, 1, 0)),
    ],
    ids=["loss", "lost key", "duplicate", "swap", "foreign", "foreign key", "another"],
)
def test_what_is_planted_among_the_sent_is_found(
    planted: dict[str, Sequence[bytes]], expected: tuple[int, int, int, int]
) -> None:
    verdict = judge_sequences("sent", SENT, planted)
    assert counts(verdict) == expected
    assert verdict.examples


def test_what_is_planted_in_a_collection_is_found() -> None:
    due = [(0, 1), (0, 2), (1, 1)]
    assert judge_collection("letters", due, reversed(due)).clean
    assert counts(judge_collection("letters", due, due[1:])) == (1, 0, 0, 0)
    assert counts(judge_collection("letters", due, [*due, due[0]])) == (0, 1, 0, 0)
    assert counts(judge_collection("letters", due, [*due, (7, 7)])) == (0, 0, 1, 0)


@pytest.mark.parametrize(
    ("planted", "expected"),
    [
        ({"a": 3, "b": 5}, (0, 0, 0, 0)),
        ({"a": 3}, (1, 0, 0, 0)),
        ({"a": 3, "b": 4}, (1, 0, 0, 0)),
        ({"a": 3, "b": 6}, (0, 1, 0, 0)),
        ({"a": 3, "b": 5, "c": 1}, (0, 0, 1, 0)),
    ],
)
def test_what_is_planted_in_a_table_is_found(planted: dict[str, int], expected: tuple[int, int, int, int]) -> None:
    assert counts(judge_table("sums", {"a": 3, "b": 5}, planted, size=int)) == expected


def test_equal_sizes_of_other_content_are_foreign() -> None:
    verdict = judge_table("windows", {"a": (2, 7)}, {"a": (2, 8)}, size=lambda value: value[0])
    assert counts(verdict) == (0, 0, 1, 0)


def test_the_input_may_be_repeated_but_not_lack_anything() -> None:
    values = [event(1, 3, number)[1] for number in range(100)]
    assert judge_input(1, 3, values) == (Verdict(judged=100), 0)
    assert judge_input(1, 3, [*values, *values[90:]]) == (Verdict(judged=100), 10)
    assert counts(judge_input(1, 3, values[:50] + values[51:])[0]) == (1, 0, 0, 0)
    assert counts(judge_input(2, 3, values)[0])[2] > 0
    assert counts(judge_input(1, 3, [*values, event(1, 2, 5)[1]])[0]) == (0, 0, 1, 0)
    assert counts(judge_input(1, 3, [*values, b"?"])[0]) == (0, 0, 1, 0)
