"""`kill -9` of a worker at random moments, on both logs: nothing is lost, nothing is doubled, byte for byte."""

from __future__ import annotations

import asyncio
import random
import shutil
from pathlib import Path

import msgspec
import pytest

from app.oracle import replay
from pelton.batch import OutgoingBatch
from tests.app.bank_process import Bank, as_transactions, read_topic
from tests.app.bank_process import opened as bank_opened
from tests.kill.kill_process import Scene, check_results, folded_state, opened

pytestmark = pytest.mark.timeout(600)

KILLS = 20
SEED = 20_260_101


@pytest.fixture(params=["sqlite", "kafka"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give the URL of a log."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'log.sqlite'}"
    return f"kafka://{request.getfixturevalue('kafka')}"


async def kill_somewhere(scene: Scene, chance: random.Random) -> None:
    """Start a worker and kill it: mostly while it commits, now and then while it starts and restores."""
    before = sum((await scene.committed()).values())
    worker = scene.start()
    if chance.random() < 0.8:
        await scene.until_committed(lambda positions: sum(positions.values()) > before)
        await asyncio.sleep(chance.uniform(0, 0.5))  # the moment, not a wait
    else:
        await asyncio.sleep(chance.uniform(0.5, 2.0))
    scene.kill(worker)


async def test_twenty_kills_change_nothing(broker: str, tmp_path: Path) -> None:
    async with opened(broker, tmp_path, seed=SEED) as scene:
        chance = random.Random(SEED)
        scene.feed()
        for _ in range(KILLS):
            await kill_somewhere(scene, chance)
        worker = scene.start()
        await scene.end_of_payments()
        await scene.until_done()
        assert scene.end(worker) == 0
        await check_results(scene)
        assert scene.state() == await folded_state(scene)


async def test_lost_state_is_restored_from_the_changelog(broker: str, tmp_path: Path) -> None:
    async with opened(broker, tmp_path, seed=SEED + 1) as scene:
        await scene.append(20_000)
        worker = scene.start()
        await scene.until_done()
        assert scene.end(worker) == 0
        before = scene.state()
        assert all(tables["windows"] and tables["sums"] for tables in before)

        shutil.rmtree(tmp_path / "data")
        worker = scene.start()
        await scene.append(1)
        await scene.until_done()
        await scene.append(5_000)
        await scene.until_done()
        assert scene.end(worker) == 0
        await check_results(scene)
        assert scene.state() == await folded_state(scene)


async def test_the_bank_survives_kills(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    with Bank(tmp_path) as bank:
        for _ in range(5):
            bank.command("simulate", "--rate", "0", "--accounts", "100", "--seed", "7", "--count", "4000")
            bank.start()
            await bank.until(lambda overview: overview["committed_records"] > 0)
            await asyncio.sleep(chance.uniform(0, 0.3))  # the moment, not a wait
            bank.kill()
        bank.start()
        await bank.until_idle()
        assert bank.stop() == 0
        async with bank_opened(bank) as log:
            payments = as_transactions(await read_topic(log, "transactions"))
            alerts = [value for partition in await read_topic(log, "alerts") for value in partition]
    assert sum(map(len, payments)) == 20_000
    expected = replay(payments).alerts
    assert len(expected) > 20
    assert alerts == [msgspec.json.encode(alert) for alert in expected]


async def test_a_record_of_five_mebibytes_stops_nothing(broker: str, tmp_path: Path) -> None:
    large = {"max.message.bytes": str(16 * 1024 * 1024)}
    async with opened(broker, tmp_path, seed=SEED + 2, config=large) as scene:
        await scene.append(1_000)
        batch = OutgoingBatch(*scene.source(0))
        batch.append(b"large", b"{" * 5 * 1024 * 1024, 0, (("trace", b"7"),))
        await scene.log.append([batch])
        await scene.append(1_000)
        worker = scene.start()
        await scene.until_done()
        assert scene.end(worker) == 0
        await check_results(scene)
        (letter,) = [one for part in await scene.read(f"{scene.run}-dlq") for one in part if one.key == b"large"]
        assert (letter.value, letter.headers["trace"]) == (b"{" * 5 * 1024 * 1024, b"7")
