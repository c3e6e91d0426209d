"""`python -m tests.chaos.accounts`: money under `kill -9` for as long as you like.

Customers send money about, and the bank's worker is killed at a random moment behind each lot of their requests, some
of which are sent twice. After each kill the events in the log are added up: no money is made or lost, no account is
overdrawn, no step of a transfer is taken twice. At the end every transfer has arrived or come back, and the read model,
rebuilt from the events, is the one that was kept.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

from tests.app.bank_process import Bank
from tests.kill.accounts_scene import Scene, opened

#: Requests of a lot; the worker is killed so long after it is seen to work on one, in seconds at most.
LOT = 300
MOMENT_S = 1.0


async def soak(bank: Bank, seconds: float, seed: int) -> str:
    """Kill for so long, and return what came of it. Raises: AssertionError naming what is wrong with the money."""
    began, kills = time.monotonic(), 0
    async with opened(bank, seed) as scene:
        while time.monotonic() - began < seconds:
            await _round(scene)
            kills += 1
            print(f"[{time.monotonic() - began:6.1f} s] kill {kills}: {scene.sent:,} requests", flush=True)
        took_s = time.monotonic() - began
        await scene.send(LOT)
        bank.start()
        ledger = await scene.until_settled()
        events = ledger.events
    return (
        f"{kills} kills in {took_s:.0f} s, seed {seed}: {scene.sent:,} requests, {events.total():,} events, "
        f"{events['TransferSent']:,} transfers of which {events['TransferReturned']:,} came back, "
        f"{ledger.cash / 100:,.2f} EUR in {len(ledger.balances)} accounts: not a cent made or lost"
    )


async def _round(scene: Scene) -> None:
    """Send a lot, kill the worker somewhere within it, and add up what there is."""
    await scene.send(LOT)
    scene.bank.start()
    await scene.until_grown()
    await asyncio.sleep(scene.chance.uniform(0, MOMENT_S))
    scene.bank.kill()
    await scene.ledger()


def main() -> None:
    """Run it as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.accounts", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--broker", help="kafka://host:port; an embedded log of its own otherwise")
    choice = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        broker = choice.broker or f"sqlite:///{directory}/log.sqlite"
        with Bank(Path(directory), broker) as bank:
            print(asyncio.run(soak(bank, choice.seconds, choice.seed)))


if __name__ == "__main__":
    main()
