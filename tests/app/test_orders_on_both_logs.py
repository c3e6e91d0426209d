"""The services as processes, on both logs: one is killed, one is stopped, and what the log holds then is added up."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pytest

from app.models.order import OrderRequested
from app.simulation.orders import purchases, shoppers
from pelton.log.contract import Log
from tests.app.bank_process import Bank, opened, read_topic
from tests.patience import PATIENCE_S

#: Orders of shoppers, and those that are sent while payments is down.
COUNT, UNPAID = 60, 20
ENDED = ("confirmed", "cancelled", "returned")


@pytest.fixture
def bank(broker_url: str, tmp_path: Path) -> Iterator[Bank]:
    with Bank(tmp_path, broker_url) as bank:
        yield bank


async def ended(bank: Bank, count: int) -> None:
    await bank.until_answer("/orders", lambda told: sum(told["counts"].get(status, 0) for status in ENDED) >= count)


async def post(bank: Bank, orders: Iterable[OrderRequested]) -> None:
    async def one(order: OrderRequested) -> int:
        return (await bank.post("/orders", msgspec.json.encode(order), key=order.order))[0]

    assert set(await asyncio.gather(*map(one, orders))) == {202}


async def test_nothing_is_lost_or_doubled_when_a_service_is_killed_and_another_is_stopped(bank: Bank) -> None:
    bank.start()
    for name in ("orders", "payments", "notifications"):
        bank.start_service(name)
    await bank.until(lambda overview: overview["partitions"] == 4)
    for account, command in shoppers():
        path = f"/accounts/{account}/{type(command).__name__.lower()}"
        assert (await bank.post(path, msgspec.json.encode(command)))[0] == 200
    simulated = [one.order for one in islice(purchases(7, "simulated"), COUNT)]
    await post(bank, simulated)
    await ended(bank, COUNT // 4)
    bank.kill_service("payments")
    bank.services["notifications"].send_signal(signal.SIGSTOP)

    unpaid = [OrderRequested(f"unpaid-{number}", "shopper-01", "umbrella") for number in range(UNPAID)]
    await post(bank, unpaid)
    for order in unpaid:
        await bank.until_answer(f"/orders/{order.order}", lambda found: found["status"] == "placed")
    bank.start_service("payments")
    await ended(bank, COUNT + UNPAID)
    assert (await bank.get(f"/orders/{unpaid[-1].order}"))[1]["told"] == []

    bank.services["notifications"].send_signal(signal.SIGCONT)
    await check(bank, {order.order for order in simulated + unpaid})


async def check(bank: Bank, sent: set[str]) -> None:
    """Make sure that each order has ended once, and that the accounts hold what the orders say."""
    async with opened(bank) as log:
        steps = await settled(log, f"{bank.name}-order-events")
        moved = {"Withdrawn": Counter[str](), "Deposited": Counter[str]()}
        for event in decoded(await read_topic(log, f"{bank.name}-accounts-events")):
            match event.get("note", "").split():
                case ["order", order, *_]:
                    assert not moved[event["type"]][order], f"twice: {event}"
                    moved[event["type"]][order] = event["amount_cents"]
    assert steps.keys() == sent
    paid = {order for order, kinds in steps.items() if kinds["PaymentTaken"]}
    returned = {order for order, kinds in steps.items() if kinds["PaymentReturned"]}
    assert (moved["Withdrawn"].keys(), moved["Deposited"].keys()) == (paid, returned)
    assert returned
    assert all(moved["Withdrawn"][order] == cents for order, cents in moved["Deposited"].items())
    assert returned == {order for order in paid if steps[order]["OrderCancelled"]}
    for order, kinds in steps.items():
        assert max(kinds.values()) == 1 or kinds["CustomerTold"] == 2, f"{order}: {kinds}"
        assert kinds["OrderConfirmed"] + kinds["OrderCancelled"] == 1, f"{order}: {kinds}"
        assert kinds["CustomerTold"] == 1 + kinds["PaymentReturned"], f"{order}: {kinds}"


async def settled(log: Log, topic: str) -> dict[str, Counter[str]]:
    """Return how often each order had each event, once customers have been told of all that came back."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            steps: defaultdict[str, Counter[str]] = defaultdict(Counter)
            for event in decoded(await read_topic(log, topic)):
                steps[event["order"]][event["type"]] += 1
            total = sum(steps.values(), Counter[str]())
            back = sum(bool(kinds["PaymentTaken"] and kinds["OrderCancelled"]) for kinds in steps.values())
            if total["CustomerTold"] >= len(steps) + back:
                return steps
            await asyncio.sleep(0.1)


def decoded(partitions: list[list[bytes]]) -> list[dict[str, Any]]:
    return [msgspec.json.decode(value) for values in partitions for value in values]
