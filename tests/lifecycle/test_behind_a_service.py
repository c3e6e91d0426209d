"""Three workers behind one address that hands connections out in turn, as a Service of Kubernetes does.

Whoever asks there knows neither which worker has a key nor which one is asked. As in a pod, workers listen to others,
tell each other by what name they are reached, and want the token.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pelton.log.partitioner import partition_for
from tests.lifecycle.balancer import Balancer, balanced
from tests.lifecycle.worker_processes import WAIT_S, Scene, Worker, opened

pytestmark = pytest.mark.timeout(600)

PARTITIONS = 4
ACCOUNTS = [f"account-{number:03}" for number in range(24)]
NOON = 1_750_000_020.0
TOKEN = "a-secret-of-the-tests-0123456789"
#: What the chart gives a pod, but for the name, which is no pod's.
POD = {"WEB_BIND": "0.0.0.0", "WEB_HOST": "127.0.0.1"}


@dataclass(frozen=True)
class Told:
    """What came of a request. by: the port of the worker that it was handed to. status: 0 when there was no answer."""

    by: int
    status: int
    answer: Any = None
    retry_after: str | None = None


class Service:
    """Asks at the one address. Each request has a connection of its own, so each is handed out anew."""

    def __init__(self, balancer: Balancer, port: int) -> None:
        self.balancer = balancer
        self._port = port

    async def ask(self, account: str) -> Told:
        """Return what a key holds, or that there is no whole answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        own = writer.get_extra_info("sockname")[1]
        path = f"/api/tables/balances/{account}"
        # By the name of the service, which is none of the workers' own.
        lines = [
            f"GET {path} HTTP/1.1",
            "Host: bank-pelton:6066",
            f"Authorization: Bearer {TOKEN}",
            "Connection: close",
        ]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        try:
            async with asyncio.timeout(WAIT_S):
                data = await reader.read()
        except ConnectionResetError:
            data = b""
        finally:
            writer.close()
        by = self.balancer.chosen[own]
        head, _, body = data.decode().partition("\r\n\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head.splitlines()[1:])
        if not head or len(body.encode()) < int(headers["content-length"]):
            return Told(by, 0)
        return Told(by, int(head.split()[1]), json.loads(body), headers.get("retry-after"))


@pytest.fixture
async def scene(broker_url: str, tmp_path: Path) -> AsyncIterator[Scene]:
    async with opened(broker_url, tmp_path, "tests.lifecycle.querying_program", "QUERYING", TOKEN) as scene:
        yield scene


async def pay(scene: Scene, amount: int) -> None:
    await scene.append("payments", PARTITIONS, *((account, {"amount": amount, "at": NOON}) for account in ACCOUNTS))


async def until_paid(service: Service, amount: int) -> None:
    """Wait until every account has so much."""
    async with asyncio.timeout(WAIT_S):
        for account in ACCOUNTS:
            while True:
                told = await service.ask(account)
                if told.status == 200 and told.answer["value"] == amount:
                    break
                await asyncio.sleep(0.05)


def owner_of(account: str, owned: dict[Worker, list[int]]) -> Worker:
    number = partition_for(account.encode(), PARTITIONS)
    return next(worker for worker, numbers in owned.items() if number in numbers)


async def check_all(service: Service, owned: dict[Worker, list[int]], amount: int) -> None:
    """Ask for each account as often as there are workers: each has answered once, rightly, and told whose it is."""
    for account in ACCOUNTS:
        told = [await service.ask(account) for _ in owned]
        assert {one.by for one in told} == {worker.port for worker in owned}
        for one in told:
            assert one.status == 200, one
            assert (one.answer["value"], one.answer["stale"]) == (amount, False), one
            assert one.answer["source"]["worker"] == f"127.0.0.1:{owner_of(account, owned).port}"


async def test_every_answer_at_the_one_address_is_right_while_a_worker_dies(scene: Scene) -> None:
    workers = [scene.start(**POD) for _ in range(3)]
    await pay(scene, 5)
    owned = await scene.settled(workers, PARTITIONS)
    async with balanced([worker.port for worker in workers]) as (balancer, port):
        service = Service(balancer, port)
        await until_paid(service, 5)
        await check_all(service, owned, 5)

        dead = owner_of(ACCOUNTS[0], owned)
        living = [worker for worker in workers if worker is not dead]
        over, told = asyncio.Event(), list[Told]()
        async with asyncio.TaskGroup() as askers:
            for accounts in (ACCOUNTS[::2], ACCOUNTS[1::2]):
                askers.create_task(ask_on(service, accounts, told, over))
            await dead.kill()
            owned = await scene.settled(living, PARTITIONS)
            await pay(scene, 2)
            async with asyncio.timeout(WAIT_S):
                while (dead.port, 0) not in [(one.by, one.status) for one in told]:  # noqa: ASYNC110 - two set no event
                    await asyncio.sleep(0.05)
            balancer.endpoints.remove(dead.port)  # as a Service does when the probe of readiness has failed
            await until_paid(service, 7)
            over.set()
        check_each(told, dead.port, {5, 7})
        assert {one.by for one in told if one.status == 200} >= {worker.port for worker in living}
        await check_all(service, owned, 7)


async def ask_on(service: Service, accounts: Collection[str], told: list[Told], over: asyncio.Event) -> None:
    """Ask for accounts in turn until it is over, and note what came of it. What is committed is not taken back."""
    known = dict.fromkeys(accounts, 0)
    while not over.is_set():
        for account in accounts:
            one = await service.ask(account)
            told.append(one)
            if one.status == 200:
                assert one.answer["value"] >= known[account], (account, one)
                known[account] = one.answer["value"]


def check_each(told: list[Told], dead: int, values: set[int]) -> None:
    """Right, or "not now, ask again", or no answer of the one that is dead."""
    for one in told:
        if one.status == 0:
            assert one.by == dead, one
        elif one.status == 503:
            assert one.answer["missing"], one
            assert int(one.retry_after or 0) >= 1, one
        else:
            assert (one.status, one.answer["stale"]) == (200, False), one
            assert one.answer["value"] in values, one
