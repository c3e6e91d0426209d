"""The names that mean agents, and the pauses that the log keeps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

import pelton
from pelton.batch import OutgoingBatch, RecordBatch
from pelton.clock import SystemClock
from pelton.errors import ConfigurationError
from pelton.log.sqlite import SqliteLog
from pelton.runtime.pauses import Pauses, control_topic
from pelton.shell.pausing import agent_named
from pelton.testing import Driver
from tests.patience import PATIENCE_S
from tests.unit.runtime.runtime_scene import TroubledLog, Troubles

MANY = 1_000_000
AGENTS = ["shop.orders.bill", "shop.orders.pack", "shop.returns.pack"]


@pytest.mark.parametrize(
    ("given", "found"),
    [("bill", "shop.orders.bill"), ("@shop.orders.bill", "shop.orders.bill"), ("orders.pack", "shop.orders.pack")],
)
def test_an_agent_goes_by_its_name_or_the_end_of_it(given: str, found: str):
    assert agent_named(given, AGENTS) == found


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("pack", "shop.orders.pack, shop.returns.pack"),
        ("bil", "did you mean bill"),
        ("ill", "bill"),
        ("xyz", "there are"),
    ],
)
def test_what_means_none_or_several_is_refused(given: str, hint: str):
    with pytest.raises(ConfigurationError) as caught:
        agent_named(given, AGENTS)
    assert hint in (caught.value.hint or "")


@pytest.fixture
def address(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'log.sqlite'}?synchronous=off"


@pytest.fixture
async def log(address: str) -> AsyncIterator[SqliteLog]:
    log = SqliteLog(address)
    await log.open()
    yield log
    await log.close()


async def until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_pauses_are_followed_and_known_to_those_who_come_later(log: SqliteLog) -> None:
    told: list[list[str]] = []
    here = Pauses(log, "app", SystemClock(), lambda: told.append(sorted(here.paused)))
    await here.start()
    there = Pauses(log, "app", SystemClock())
    await there.pause("bill", "prices change")
    await there.pause("bill", "still")
    await there.pause("pack")
    await until(lambda: sorted(here.paused) == ["bill", "pack"])
    await there.resume("pack")
    await there.resume("nobody")
    await until(lambda: sorted(here.paused) == ["bill"])
    assert here.paused["bill"].reason == "still"
    later = Pauses(log, "app", SystemClock())
    await later.start()
    assert later.paused == here.paused
    assert told[-1] == ["bill"]
    for pauses in (here, later):
        await pauses.stop()


async def test_records_that_say_nothing_of_a_pause_disturb_nobody(log: SqliteLog) -> None:
    pauses = Pauses(log, "app", SystemClock())
    await pauses.pause("bill")
    batch = OutgoingBatch(control_topic("app"), 0)
    for value in (b"{", b"5", b'{"since_ms": "x"}'):
        batch.append(b"pack", value, 0)
    await log.append([batch])
    await pauses.read()
    assert list(pauses.paused) == ["bill"]


async def test_a_control_topic_that_was_deleted_says_that_nothing_is_paused(log: SqliteLog) -> None:
    pauses = Pauses(log, "app", SystemClock())
    await pauses.start()
    await pauses.pause("bill")
    await until(lambda: "bill" in pauses.paused)
    await log.delete_topics([control_topic("app")])
    await until(lambda: not pauses.paused)
    await pauses.pause("pack")
    await until(lambda: list(pauses.paused) == ["pack"])
    await pauses.stop()


async def test_while_the_control_topic_cannot_be_read_again_what_was_paused_stays_so(
    log: SqliteLog, address: str
) -> None:
    troubles = Troubles()
    troubled = TroubledLog(address, troubles)
    await troubled.open()
    told: list[list[str]] = []
    pauses = Pauses(troubled, "app", SystemClock(), lambda: told.append(sorted(pauses.paused)))
    others = Pauses(log, "app", SystemClock())
    await others.pause("bill")
    await pauses.start()
    troubles.starts["declare"] = MANY
    await log.delete_topics([control_topic("app")])
    await until(lambda: troubles.starts["declare"] < MANY - 1)
    assert list(pauses.paused) == ["bill"]
    again = Pauses(log, "app", SystemClock())
    await again.pause("bill")
    await again.pause("pack")
    troubles.starts["declare"] = 0
    await until(lambda: "pack" in pauses.paused)
    assert told == [["bill"], ["bill", "pack"]]
    await pauses.stop()
    await troubled.close()


async def test_an_error_that_ends_the_following_is_told(log: SqliteLog, address: str) -> None:
    class Broken(SqliteLog):
        broken = False

        async def read(self, *args: Any, **options: Any) -> RecordBatch:
            if self.broken:
                raise RuntimeError("a bug")
            return await super().read(*args, **options)

    broken = Broken(address)
    await broken.open()
    pauses = Pauses(broken, "app", SystemClock())
    assert pauses.crash() is None
    await pauses.start()
    assert pauses.crash() is None
    broken.broken = True
    await until(pauses.crash)
    assert isinstance(pauses.crash(), RuntimeError)
    await pauses.stop()
    await broken.close()


def test_a_worker_looks_at_what_follows_the_pauses() -> None:
    app = pelton.App("shop", topic_partitions=1)
    with Driver(app):
        engine = app.engine
        assert engine.runtime is not None
        assert engine._pauses is not None
        assert engine._pauses.crash in engine.runtime.crashes
