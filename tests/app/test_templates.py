"""The miner of templates: what it finds in real logs, and that its rows alone make it again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.log_rules import new_version
from app.models import LogLine, Template
from app.templates import TEMPLATES_MAX, Miner
from tests.app.test_logformats import shipped

WORDS = st.lists(st.sampled_from(["open", "close", "door", "7", "a1", "<*>", "in", "bob", "eve"]), max_size=6)
MESSAGES = st.lists(WORDS.map(" ".join), max_size=40)


def mine(miner: Miner, rows: dict[int, Template], messages: list[str]) -> list[int]:
    numbers = []
    for message in messages:
        number, text, anchor = miner.add(message)
        line = LogLine("s", "info", message, 60.0, "text")
        rows[number] = new_version(rows.get(number), line, number, text, anchor)
        numbers.append(number)
    return numbers


def rebuilt(rows: dict[int, Template]) -> Miner:
    return Miner(rows[number] for number in sorted(rows) if number)


@given(MESSAGES, st.integers(0, 40))
def test_a_miner_made_of_its_rows_goes_on_as_if_nothing_had_been(messages: list[str], cut: int) -> None:
    whole, rows = Miner(), dict[int, Template]()
    numbers = mine(whole, rows, messages)
    halves: dict[int, Template] = {}
    first = mine(Miner(), halves, messages[:cut])
    assert first + mine(rebuilt(halves), halves, messages[cut:]) == numbers
    assert halves == rows


def test_what_varies_is_found() -> None:
    rows: dict[int, Template] = {}
    people = [f"user {name} logged in from 10.0.0.{n}" for n, name in enumerate(["ann", "bob", "eve"])]
    mine(Miner(), rows, [*people, "took 12 ms", "took 7 ms", "took 1 ms", "12 7 9", "1 2 3"])
    assert [template.text for template in rows.values()] == [
        "user <*> logged in from <*>",
        "took <*> ms",
        "<*> <*> <*>",
    ]
    assert [template.lines for template in rows.values()] == [3, 3, 2]


@pytest.mark.parametrize(
    ("file", "most", "some"),
    [
        ("dpkg.log", 14, "status installed <*> <*>"),
        ("kafka.log", 60, "[Broker id=<*>] Creating new partition <*> with topic id <*>"),
        ("worker.log", 16, "restored partition <*> <*> records in <*> s"),
    ],
)
def test_real_logs(file: str, most: int, some: str) -> None:
    rows: dict[int, Template] = {}
    mine(Miner(), rows, [line.message for line in shipped(file)])
    texts = [template.text for template in rows.values()]
    assert some in texts
    assert len(texts) == len(set(texts)) <= most


def test_templates_are_bounded() -> None:
    miner = Miner()
    letters = "abcdefghij"
    words = [f"{a}{b}{c}" for a in letters for b in letters for c in letters][: TEMPLATES_MAX + 50]
    numbers = [miner.add(f"{word} {word}x {word}y")[0] for word in words]
    assert max(numbers) == TEMPLATES_MAX
    assert numbers[-1] == 0
    assert miner.add(f"{words[0]} {words[0]}x {words[0]}y")[0] == 1, "known ones are still found"
