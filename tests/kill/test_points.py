"""A worker that dies before and after each step of the engine, on both logs: nothing is lost, nothing is doubled."""

from __future__ import annotations

import random
import re
import shutil
import signal
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from pelton.killpoints import STEPS, VARIABLE
from tests.kill.kill_oracle import PARTITIONS, Expected, Warning_
from tests.kill.kill_process import ROOT, Scene, check_results, folded_state, opened, read_letters, sums_in, windows_in

SEED = 20_260_202
#: Payments that wait for the worker that is killed, and how many more come at once as long as it lives.
PAYMENTS = 2_000
LOT = 10
#: Step -> the last occurrence that a worker may die at. A store is opened, closed and restored once a partition number.
LATEST = {
    "fetch": 20,
    "table-write": 2_000,
    "begin": 30,
    "produce": 60,
    "offsets": 20,
    "commit": 30,
    "store-write": 20,
    "store-open": PARTITIONS,
    "store-close": PARTITIONS,
    "restore-write": PARTITIONS,
}
#: Where at least once differs from exactly once: between the records, the positions and the store.
TWICE = ("produce.after", "offsets.before", "offsets.after", "store-write.before")


class Committed(NamedTuple):
    """What a window holds, as the program writes it."""

    count: int
    sum: int


@pytest.fixture(params=["sqlite", "kafka"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give the URL of a log."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'log.sqlite'}?synchronous=off"
    return f"kafka://{request.getfixturevalue('kafka')}"


async def die_at(scene: Scene, point: str, settings: dict[str, str]) -> None:
    """Start a worker that dies at a point, at an occurrence drawn from the seed, and see that it died of that."""
    step = point.partition(".")[0]
    nth = random.Random(f"{SEED} {point} {scene.broker[:6]}").randint(1, LATEST[step])
    if step == "restore-write":
        worker = scene.start(settings)
        await scene.until_committed(lambda positions: all(positions.values()))
        scene.kill(worker)
        shutil.rmtree(scene.directory / "data")
    before = sum((await scene.committed()).values())
    worker = scene.start(settings | {VARIABLE: f"{point}:{nth}"})
    if step == "store-close":
        # Not before it works: a signal that comes while Python starts would not be an orderly end.
        await scene.until_committed(lambda positions: sum(positions.values()) > before)
        worker.send_signal(signal.SIGINT)
    assert await scene.until_dead(worker) == -signal.SIGKILL, scene.output()
    assert scene.output().count(f"killed at {point}:{nth}\n") == 1


async def recover(scene: Scene, settings: dict[str, str]) -> None:
    """Let a worker that nothing kills do the rest."""
    await scene.end_of_payments()
    worker = scene.start(settings)
    await scene.until_done()
    assert scene.end(worker) == 0


@pytest.mark.parametrize("point", [f"{step}.{side}" for step in STEPS for side in ("before", "after")])
async def test_death_at_any_step_changes_nothing(broker: str, tmp_path: Path, point: str) -> None:
    async with opened(broker, tmp_path, seed=SEED, lot=LOT) as scene:
        await scene.append(PAYMENTS)
        scene.feed()
        await die_at(scene, point, {})
        await recover(scene, {})
        await check_results(scene)
        assert scene.state() == await folded_state(scene)


@pytest.mark.parametrize("point", TWICE)
async def test_at_least_once_loses_nothing(broker: str, tmp_path: Path, point: str) -> None:
    settings = {"PROCESSING_GUARANTEE": "at_least_once"}
    async with opened(broker, tmp_path, seed=SEED, lot=LOT) as scene:
        await scene.append(PAYMENTS)
        scene.feed()
        await die_at(scene, point, settings)
        await recover(scene, settings)
        await check_nothing_lost(scene)
        assert scene.state() == await folded_state(scene)


async def check_nothing_lost(scene: Scene) -> None:
    """See that everything that the oracle expects is there; an event may have counted twice."""
    expected = await scene.expected()
    letters = {(number, *letter) for number, one in enumerate(expected) for letter in one.letters}
    assert letters <= set(await read_letters(scene))
    copies = await scene.read(f"{scene.run}-copies")
    warnings = await scene.read(f"{scene.run}-warnings")
    state = await folded_state(scene)
    for one, copied, warned, tables in zip(expected, copies, warnings, state, strict=True):
        assert set(one.copies) <= {record.value for record in copied}
        assert _warned(one.warnings) <= _warned([record.value or b"" for record in warned])
        _check_tables(one, tables)


def _warned(values: list[bytes]) -> set[str]:
    return {msgspec.json.decode(value, type=Warning_).id for value in values}


def _check_tables(one: Expected, tables: dict[str, dict[bytes, bytes]]) -> None:
    windows, sums = windows_in(tables), sums_in(tables)
    assert windows.keys() == one.windows.keys()
    for window, value in one.windows.items():
        found, wanted = (Committed(**msgspec.json.decode(each)) for each in (windows[window], value))
        assert found.count >= wanted.count
        assert found.sum >= wanted.sum
    assert all(sums[account] >= total for account, total in one.sums.items())


def test_every_step_of_the_engine_is_tested() -> None:
    source = "".join(path.read_text() for path in (ROOT / "src" / "pelton").rglob("*.py"))
    placed = re.findall(r'^ *@step\("([a-z-]+)"\)$', source, re.MULTILINE)
    assert set(placed) == set(STEPS) == set(LATEST)
