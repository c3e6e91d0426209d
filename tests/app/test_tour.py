"""A tour with three workers of the bank: somebody looks at an account while the worker that has it is killed.

What they see is the truth throughout: the owner's rows, then a standby's that says how far it is behind, or 503 with
the reason, then the new owner's; at no moment a sum that was never there, and never an older one after a newer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.lifecycle.worker_processes import WAIT_S, Scene, Worker, opened

pytestmark = pytest.mark.timeout(600)

ACCOUNT = "account-of-ann"
#: Long enough that whoever asks meets the worker that is gone, and its standby.
SESSION_S = 8


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    broker = f"sqlite:///{tmp_path / 'log.sqlite'}?synchronous=off"
    async with opened(broker, tmp_path, "app", "BANK") as scene:
        yield scene


def start(scene: Scene) -> Worker:
    return scene.start(
        BANK_ID=scene.run,
        HUB_DIRECTORY=str(scene.directory / "hub"),
        TABLE_STANDBY_REPLICAS="1",
        BROKER_SESSION_TIMEOUT=str(SESSION_S),
    )


@dataclass(slots=True)
class Looked:
    """An answer about the account. least, most: what was surely paid in before it, and may have been by its end."""

    status: int
    answer: Any
    least: int
    most: int

    @property
    def role(self) -> str:
        """Whose answer it is; "" for none."""
        return str(self.answer["source"]["role"]) if self.status == 200 and "source" in self.answer else ""


@dataclass(slots=True)
class Account:
    """One account that a cent is paid into again and again, and how many were acknowledged, and sent."""

    worker: Worker
    acknowledged: int = 0
    sent: int = 0
    seen: dict[str, list[Looked]] = field(default_factory=dict[str, list[Looked]])

    async def pay_in(self) -> None:
        """Pay in, cent by cent, each once: what is not acknowledged is sent again under its name."""
        while True:
            self.sent += 1
            headers = {"Idempotency-Key": f"cent-{self.sent}"}
            while True:
                status, answer = await self.worker.request(
                    f"accounts/{ACCOUNT}/deposit", "POST", json={"amount_cents": 1}, headers=headers
                )
                if status == 200:
                    break
                assert status in (503, 504), answer
            self.acknowledged += 1

    async def look(self, name: str, worker: Worker, path: str) -> None:
        """Look at it through one worker, again and again."""
        looked = self.seen.setdefault(name, [])
        while True:
            least = self.acknowledged
            status, answer = await worker.request(path)
            looked.append(Looked(status, answer, least, self.sent))
            if status == 503:
                await asyncio.sleep(0.05)


async def until(condition: Callable[[], bool], meanwhile: Iterable[asyncio.Task[None]]) -> None:
    """Wait until a condition holds; what somebody meanwhile fails with is raised."""
    async with asyncio.timeout(2 * WAIT_S):
        while not condition():
            for task in meanwhile:
                if task.done():
                    await task
            await asyncio.sleep(0.05)


async def test_who_looks_at_an_account_sees_the_truth_while_its_worker_is_killed(scene: Scene) -> None:
    workers = [start(scene) for _ in range(3)]
    for worker in workers:
        await worker.until("readyz", lambda status, _: status == 200)
    opening = await workers[0].request(f"accounts/{ACCOUNT}/open", "POST", json={"owner": "Ann"})
    assert opening[0] == 200, opening
    tables = (await workers[0].get("api/tables"))["tables"]
    table = next(one["name"] for one in tables if one["name"].startswith("balances"))
    path = f"api/tables/{table}/{ACCOUNT}"
    first = await workers[0].until(path, lambda status, _: status == 200)
    owner = next(one for one in workers if f":{one.port}" in first["source"]["worker"])
    left = [one for one in workers if one is not owner]
    account = Account(left[0])
    looking = [
        asyncio.create_task(task)
        for task in (
            account.pay_in(),
            account.look("rows by one worker", left[0], path),
            account.look("rows by another", left[1], path),
            account.look("owners only", left[0], f"{path}?standby=never"),
            account.look("page", left[1], f"accounts/{ACCOUNT}"),
        )
    ]
    try:
        await until(lambda: account.acknowledged > 20 and all(len(one) > 5 for one in account.seen.values()), looking)
        before = {name: len(looked) for name, looked in account.seen.items()}
        await owner.kill()
        paid = account.acknowledged
        gone = f"127.0.0.1:{owner.port}"

        def moved() -> bool:
            rows = [looked[-1] for name, looked in account.seen.items() if name != "page"]
            new = all(one.role == "owner" and one.answer["source"]["worker"] != gone for one in rows)
            return new and account.acknowledged > paid + 10 and account.seen["page"][-1].status == 200

        await until(moved, looking)
    finally:
        for task in looking:
            task.cancel()
        outcomes = await asyncio.gather(*looking, return_exceptions=True)
    assert all(isinstance(one, asyncio.CancelledError) for one in outcomes), outcomes
    for name, looked in account.seen.items():
        check_truth(name, looked)
    meanwhile = {one.role or str(one.status) for name, looked in account.seen.items() for one in looked[before[name] :]}
    assert meanwhile & {"standby", "503"}, "somebody looked while nobody had the partition"
    only = account.seen["owners only"][before["owners only"] :]
    assert {one.role for one in only} <= {"owner", ""}
    await until_same(left, path, account)


def check_truth(name: str, looked: list[Looked]) -> None:
    """Check every answer: what it says was so, or it says that it cannot tell."""
    highest = 0
    for one in looked:
        if one.status == 503:
            assert one.answer.get("missing") or one.answer.get("error"), (name, one)
            continue
        assert one.status == 200, (name, one)
        if name == "page":
            # The state of the account itself: whoever has paid in sees it.
            assert one.least <= one.answer["balance_cents"] <= one.most, (name, one)
            continue
        value, source = balance(one.answer), one.answer["source"]
        assert value <= one.most, (name, one)
        assert one.answer["stale"] == (one.role == "standby"), (name, one)
        if one.role == "owner":
            assert value >= highest, (name, one, highest)
            highest = value
        else:
            assert source["records_behind"] >= 0, (name, one)
            assert source["heard_s"] >= 0, (name, one)


def balance(answer: Any) -> int:
    return int(answer["value"]["balance_cents"])


async def until_same(workers: list[Worker], path: str, account: Account) -> None:
    """Wait until both workers tell all that was paid in: at least what was acknowledged, at most what was sent."""
    for worker in workers:
        answer = await worker.until(
            path, lambda status, told: status == 200 and balance(told) >= account.acknowledged and not told["stale"]
        )
        assert balance(answer) <= account.sent
