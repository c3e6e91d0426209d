"""Programs that count: page views, words, withdrawals, windows; and the kinds of tables."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tests.compat.harness import command, load, settled, until, values, worker


async def test_page_views_are_counted_by_page() -> None:
    program = load("page_views")
    async with worker(program.app):
        for page, user in [("/", "a"), ("/", "b"), ("/faq", "a"), ("/", "a")]:
            await program.page_view_topic.send(value=program.PageView(page=page, user=user))
        await until(lambda: dict(program.page_views.items()) == {"/": 3, "/faq": 1})
        await settled(program.app, 8)


async def test_counts_survive_a_restart_and_the_loss_of_the_state(directory: Path) -> None:
    for number in range(1, 4):
        program = load("page_views")
        async with worker(program.app):
            await program.page_view_topic.send(value=program.PageView(page="/", user="a"))
            await settled(program.app, 2)
            assert dict(program.page_views.items()) == {"/": number}
        if number == 2:
            assert "Removing" in command(directory, "page_views", "reset")
            assert not list((directory / "data").rglob("*.sst"))


async def test_words_are_sent_on_under_their_own_key() -> None:
    program = load("word_count")
    async with worker(program.app):
        await program.lines_topic.send(value="to be or")
        await program.lines_topic.send(value="not to be")
        await until(lambda: sum(program.word_counts.values()) == 6)
        assert dict(program.word_counts.items()) == {"to": 2, "be": 2, "or": 1, "not": 1}
        assert program.word_counts["to"] == 2


async def test_withdrawals_made_by_the_program_s_own_command(directory: Path) -> None:
    assert "sent 6" in command(directory, "withdrawals", "produce", "--count", "6")
    program = load("withdrawals")
    async with worker(program.app):
        await until(lambda: dict(program.account_totals.items()) == {"account-0": 36.0, "account-1": 39.0})
        await settled(program.app, 18)
        totals = {
            (country, start // 3_600_000 % 24): total
            for country in ("DE", "FR", "IT")
            for start, total in program.country_totals[country].windows()
        }
    assert totals == {
        ("DE", 0): 10.0,
        ("FR", 0): 11.0,
        ("IT", 0): 12.0,
        ("DE", 1): 13.0,
        ("FR", 1): 14.0,
        ("IT", 1): 15.0,
    }


async def test_windows_of_each_kind() -> None:
    program = load("windows")
    start = time.time() // 60 * 60 - 600
    async with worker(program.app):
        for at in (5, 30, 65):
            await program.clicks_topic.send(key="b", value=program.Click(button="b", at=start + at), timestamp=1000.0)
        await until(lambda: len(program.seen) == 3)
    first, second, third = program.seen
    assert (first["current"], second["current"], third["current"]) == (1, 2, 1)
    assert (first["value"], second["of_event"], third["of_event"]) == (1, 2, 1)
    assert (first["minute_ago"], third["minute_ago"]) == (0, 2)
    assert first["now"] == 0
    assert [one["by_log"] for one in program.seen] == [1, 2, 3]
    assert [one["by_clock"] for one in program.seen] == [1, 2, 3]
    assert third["list"] == [start + 65]
    assert second["list"] == [start + 5, start + 30]
    assert second["in"]
    if start % 20 == 0:
        assert [one["hopping"] for one in program.seen] == [1, 1, 1]
        assert second["hopping_earlier"] == 2  # the window that began 40 s before holds both


async def test_sets_global_tables_and_dicts() -> None:
    program = load("kinds_of_tables")
    async with worker(program.app):
        for page, person in [("/", "b"), ("/", "a"), ("/", "b"), ("/faq", "a")]:
            await program.visits_topic.send(key=page, value=person)
        await until(lambda: program.visitors["/"] == {"a", "b"} and program.visitors["/faq"] == {"a"})
        await program.prices_topic.send(key="tea", value=1.5)
        await until(lambda: program.prices["tea"] == 1.5)
        assert program.prices["gold"] == 0.0
        await until(lambda: program.flags["all"] == {"a", "b"})
        await program.commands_topic.send(key="n", value="write")
        await program.commands_topic.send(key="n", value="delete")
        await until(lambda: len(program.found) == 3)
        assert list(program.notes.items()) == []
        changelog: list[Any] = await values(program.app, "kinds-of-tables-prices-changelog", 1)
    assert program.found == [("second", None, True, [("n", "second")], 1), ("second", None, False), "no default"]
    assert changelog == [1.5]
