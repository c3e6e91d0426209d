"""Programs that count: page views, words, withdrawals, windows; and the kinds of tables."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import faust
import pytest

import pelton
from pelton.errors import ConfigurationError
from tests.compat.harness import command, load, settled, until, values, worker

pytestmark = pytest.mark.usefixtures("each_log")


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
            assert "Removing" in command("page_views", "reset")
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
    assert "sent 6" in command("withdrawals", "produce", "--count", "6")
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
    assert [one["by_faust"] for one in program.seen] == [one["hopping"] for one in program.seen]
    assert [one["buttons"] for one in program.seen] == [{"b"}] * 3
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
        await program.prices_topic.send(key="tea", value=2.0)
        await until(lambda: program.balances["tea"] == 3.5)  # it begins with an int
        assert program.tags["tea"] == {"seen"}
        await until(lambda: program.flags["all"] == {"a", "b"})
        assert dict(program.visitors.items()) == {"/": {"a", "b"}, "/faq": {"a"}}
        assert program.visitors.get("/faq") == {"a"}
        await program.commands_topic.send(key="n", value="write")
        await program.commands_topic.send(key="n", value="delete")
        await until(lambda: len(program.found) == 3)
        assert list(program.notes.items()) == []
        changelog: list[Any] = await values(program.app, f"{program.app.conf.id}-prices-changelog", 1)
    assert program.found == [("second", None, True, [("n", "second")], 1), ("second", None, False), "no default"]
    assert changelog[-1] == 2.0


async def test_global_tables_are_whole_on_every_worker(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = []
    for place in ("one", "two"):
        monkeypatch.setenv("APP_DATADIR", str(directory / place))
        programs.append(load("kinds_of_tables"))
        assert programs[-1].app.conf.datadir == directory / place
    one, two = programs
    expected = {f"good {number}": number / 2 for number in range(20)}
    async with worker(one.app), worker(two.app):
        await until(lambda: [len(program.app.statistics().partitions) for program in programs] == [1, 1])
        for name, price in expected.items():
            await one.prices_topic.send(key=name, value=price)
            await two.visits_topic.send(key=name, value="somebody")
        await until(lambda: all(dict(program.prices.items()) == expected for program in programs))
        await until(lambda: all(program.flags["all"] == {"somebody"} for program in programs))
        await until(lambda: sum(len(program.visitors) for program in programs) == len(expected))
        assert {page for program in programs for page in program.visitors} == expected.keys()
        assert all(len(program.visitors) for program in programs)


async def test_a_value_that_a_table_could_not_read_again_is_refused() -> None:
    program = load("typed_tables")
    async with worker(program.app):
        for number, what in enumerate(("point", "dict", "text", "windowed text")):
            await program.writes.send(key=str(number), value=what)
        await settled(program.app, 4)
        assert dict(program.points.items()) == {"0": program.Point(1, 2), "1": program.Point(3, 4)}
        assert program.refused == [
            f'table "{name}": expected Point, got str, which cannot be read as one' for name in ("points", "by_minute")
        ]


def test_windows_that_a_table_cannot_have_are_refused() -> None:
    app = pelton.App("refused-windows")
    with pytest.raises(ConfigurationError, match="a table's windows are tumbling or hopping"):
        app.Table("sums", default=int, window=faust.SlidingWindow(10, 5, 60))
