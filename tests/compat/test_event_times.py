"""Event time in a worker that stops and starts: from a field, from the log, and where nothing more comes."""

from __future__ import annotations

import time
from types import ModuleType
from uuid import uuid4

import pytest

from pelton.errors import ConfigurationError
from tests.compat.harness import load, records, until, values, worker

FUTURE = 4_070_908_800.0  # 2099


@pytest.fixture
def log(broker_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let the programs of a test work on this log, with names of their own."""
    monkeypatch.setenv("BROKER_URL", broker_url)
    monkeypatch.setenv("CLICKS_RUN", f"clicks-{uuid4().hex[:8]}")
    return broker_url


async def click(program: ModuleType, page: str, number: int, at: float) -> None:
    await (await program.clicks.send(key=page, value=program.Click(id=number, at=at)))


@pytest.mark.usefixtures("log")
async def test_windows_of_what_comes_once_close_in_silence_and_are_read_later() -> None:
    program = load("clicks")
    async with worker(program.app):
        await click(program, "home", 1, 0.0)
        await click(program, "home", 2, 0.1)
        await until(lambda: len(program.now) >= 1, "processing time to pass")
        await until(lambda: program.halves == [("home", 0, 2)], "the window to close")
        await click(program, "home", 3, FUTURE)

    again = load("clicks")
    async with worker(again.app):
        await click(again, "home", 2, 0.6)
        await click(again, "home", 4, 100.0)
        assert [one["id"] for one in await values(again.app, str(again.again), 1)] == [2]
        await until(lambda: again.halves == [("home", 100_000, 1)], "the window after the restart")
        kept = [(w.start_ms, w["clicks"], w.final) for w in again.count.windows().of("home")]
        assert kept == [(0, 2, True), (100_000, 1, True)]
        assert [w.start_ms for w in again.count.windows().between(50, 200)] == [100_000]
        assert [w["clicks"] for w in again.total.windows("agg").of("home")] == [4]
        assert list(again.per_page["home"].between(0.5, 100)) == [(500, 1)]
        assert list(again.per_page.between()) == [("home", 0, 2), ("home", 500, 1), ("home", 100_000, 1)]
        letters = [batch for batch in await records(again.app, f"{again.RUN}-dlq") if len(batch)]
        assert sum(len(batch) for batch in letters) == 1
        assert b"ahead of its record" in repr(letters[0].headers).encode()
        with pytest.raises(ConfigurationError, match="no windows of the name"):
            again.count.windows("nothing")


@pytest.mark.usefixtures("log")
async def test_a_topic_may_have_the_times_of_the_log() -> None:
    program = load("clicks")
    before_ms = time.time() * 1000 - 60_000
    async with worker(program.app):
        await program.stamped.send(key="home", value=program.Click(id=1, at=0.0), timestamp=5.0)
        await until(lambda: program.times)
    assert program.times[0] > before_ms
