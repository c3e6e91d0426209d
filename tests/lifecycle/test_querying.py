"""Tables that any of three real workers is asked for, while workers come, go, hang and are killed."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from pelton.log.partitioner import partition_for
from tests.lifecycle.worker_processes import Scene, Worker, opened

pytestmark = pytest.mark.timeout(600)

PARTITIONS = 4
ACCOUNTS = [f"account-{number:03}" for number in range(60)]
#: A minute, in seconds.
NOON = 1_750_000_020.0
TOKEN = "a-secret-of-the-tests-0123456789"


@pytest.fixture
async def scene(broker_url: str, tmp_path: Path) -> AsyncIterator[Scene]:
    """Give workers that want a token of whoever asks, as in a deployment: each other as well."""
    async with opened(broker_url, tmp_path, "tests.lifecycle.querying_program", "QUERYING", TOKEN) as scene:
        yield scene


async def pay(scene: Scene, amount: int, at: float, accounts: list[str]) -> None:
    await scene.append("payments", PARTITIONS, *((account, {"amount": amount, "at": at}) for account in accounts))


async def told(worker: Worker, path: str) -> Any:
    status, answer = await worker.request(path)
    assert status == 200, (status, answer, worker.output())
    return answer


async def all_rows(worker: Worker, path: str) -> list[Any]:
    """Return the rows of all pages."""
    rows: list[Any] = []
    page = await told(worker, path)
    while True:
        assert page["complete"] is True
        assert page["missing"] == []
        rows += page["rows"]
        if page["next"] is None:
            return rows
        page = await told(worker, f"{path}&cursor={page['next']}")


async def asked(path: str, worker: Worker) -> Callable[[], Awaitable[set[Any] | None]]:
    """Send a request; return what waits for the values of its answer: None where it was refused."""
    reader, writer = await asyncio.open_connection("127.0.0.1", worker.port)
    head = f"GET /{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n\r\n"
    writer.write(head.encode())
    await writer.drain()

    async def values() -> set[Any] | None:
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        assert head.split()[1] in (b"200", b"503"), (head, body)
        return {row["value"] for row in json.loads(body)["rows"]} if head.split()[1] == b"200" else None

    return values


async def until_balance(worker: Worker, account: str, amount: int) -> None:
    await worker.until(
        f"api/tables/balances/{account}", lambda status, answer: status == 200 and answer["value"] == amount
    )


async def until_all(worker: Worker, amount: int) -> None:
    def all_paid(status: int, answer: Any) -> bool:
        return status == 200 and [row["value"] for row in answer["rows"]] == [amount] * len(ACCOUNTS)

    await worker.until("api/tables/balances?limit=1000", all_paid)


def owner_of(account: str, owned: dict[Worker, list[int]]) -> Worker:
    number = partition_for(account.encode(), PARTITIONS)
    return next(worker for worker, numbers in owned.items() if number in numbers)


async def test_whichever_worker_is_asked_answers_for_everything(scene: Scene) -> None:
    workers = [scene.start(), scene.start(), scene.start()]
    await pay(scene, 5, NOON, ACCOUNTS)
    await pay(scene, 2, NOON + 90, ACCOUNTS)
    owned = await scene.settled(workers, PARTITIONS)
    await until_all(workers[0], 7)
    for worker in workers:
        for account in ACCOUNTS[:12]:
            answer = await told(worker, f"api/tables/balances/{account}")
            source = answer["source"]
            assert (answer["value"], source["role"], answer["stale"]) == (7, "owner", False)
            assert source["worker"] == f"127.0.0.1:{owner_of(account, owned).port}"
        rows = await all_rows(worker, "api/tables/balances?limit=7")
        assert [row["key"] for row in rows] == ACCOUNTS
        assert {row["partition"] for row in rows} == set(range(PARTITIONS))
        tens = await all_rows(worker, "api/tables/balances?prefix=account-01")
        assert [row["key"] for row in tens] == ACCOUNTS[10:20]
        part = await all_rows(worker, "api/tables/balances?from=account-005&to=account-009")
        assert [row["key"] for row in part] == ACCOUNTS[5:9]
        then = await all_rows(worker, f"api/tables/balances?limit=9&at={NOON + 30}")
        assert [(row["key"], row["value"]) for row in then] == [(account, 5) for account in ACCOUNTS]
        assert (await told(worker, f"api/tables/balances/account-001?at={NOON + 89}"))["value"] == 5
        versions = (await told(worker, "api/tables/balances/account-001/versions"))["versions"]
        assert [(one["value"], one["since_ms"]) for one in versions] == [(5, NOON * 1000), (7, (NOON + 90) * 1000)]
        windows = (await told(worker, "api/tables/minutes/account-002"))["windows"]
        assert [(one["start_ms"], one["value"]) for one in windows] == [(NOON * 1000, 5), ((NOON + 60) * 1000, 2)]
        second = await all_rows(worker, f"api/tables/minutes?limit=50&since={NOON + 61}")
        assert {(row["start_ms"], row["value"]) for row in second} == {((NOON + 60) * 1000, 2)}
        assert sorted(row["key"] for row in second) == ACCOUNTS
        assert (await told(worker, "query/balances/account-003"))["value"] == 7
        assert "WindowValue(start_ms=1750000020000" in (await told(worker, "query/minutes/account-003"))["value"]
        largest = await worker.until("api/tables/largest/account-004", lambda status, _: status == 200)
        assert (largest["value"], largest["source"]["role"]) == ({"amount": 5, "at": NOON}, "replica")
    await refusals(workers[0])
    await commands(scene)


async def commands(scene: Scene) -> None:
    if scene.broker.startswith("sqlite"):  # the other log has the same commands: one of each kind will do
        await other_commands(scene)
    assert (await scene.command("table", "get", "balances", "account-007")).strip() == "7"
    await pay(scene, 1, NOON + 120, ["account-001", "new"])
    await until_balance(scene.workers[0], "new", 1)
    await until_balance(scene.workers[0], "account-001", 8)
    words = await scene.command("table", "diff", "balances", "--at", str(NOON + 119), status=1)
    changed = [" ".join(line.split()) for line in words.splitlines()[1:]]
    assert changed == ['~ "account-001" 7 8', '+ "new" - 1']


async def other_commands(scene: Scene) -> None:
    versions = await scene.command("table", "get", "balances", "account-007", "--versions", "--json")
    assert [one["value"] for one in json.loads(versions)["versions"]] == [5, 7]
    assert "no such key" in await scene.command("table", "get", "balances", "nobody", status=1)
    rows = await scene.command("table", "scan", "balances", "--from", "account-058", "--at", str(NOON + 1), "--json")
    assert [json.loads(line)["value"] for line in rows.splitlines()] == [5, 5]
    for worker in scene.workers:  # whichever is asked, its replica has caught up
        await worker.until("api/tables/largest?limit=1000", lambda _, answer: len(answer["rows"]) == len(ACCOUNTS))
    per_minute = "SELECT window_start, SUM(m.value) AS total, MAX(l.amount) AS largest FROM minutes m"
    query = f"{per_minute} JOIN largest l ON l.key = m.key GROUP BY window_start ORDER BY window_start"
    rows = [json.loads(line) for line in (await scene.command("sql", query, "--json")).splitlines()]
    assert [(row["total"], row["largest"]) for row in rows] == [(5 * len(ACCOUNTS), 5), (2 * len(ACCOUNTS), 5)]
    assert "allow more with --rows" in await scene.command("sql", "SELECT * FROM balances", "--rows", "59", status=1)


async def refusals(worker: Worker) -> None:
    for path, status, words in (
        ("api/tables/balances/nobody", 404, "no such key"),
        ("api/tables/none", 404, "no table"),
        ("api/tables/balances?limit=0", 400, "limit="),
        ("api/tables/balances?cursor=!", 400, "cursor="),
        ("api/tables/balances?at=noon", 400, "at="),
        ("api/tables/minutes?prefix=a", 400, "prefix="),
        ("api/tables/largest/account-001?at=1", 400, "no history"),
        ("api/tables/balances/account-001?at=1", 410, "has no history at 1000 ms"),
        ("api/tables/lengths/eleven", 400, "no key like"),
        (f"api/tables/balances/{quote('a/b%25', safe='')}", 404, "no such key"),
    ):
        found, answer = await worker.request(path)
        assert (found, words in answer["error"]) == (status, True), (path, found, answer)
    lengths = await all_rows(worker, "api/tables/lengths?limit=10")
    assert {row["key"] for row in lengths} == {11}, "a row in each partition: the key is not that of the events"
    assert sorted(name for row in lengths for name in row["value"]) == sorted(2 * ACCOUNTS)


async def test_no_answer_is_wrong_while_workers_come_hang_and_are_killed(scene: Scene) -> None:
    first, second = scene.start(), scene.start()
    await pay(scene, 1, NOON, ACCOUNTS)
    await scene.settled([first, second], PARTITIONS)
    await until_all(first, 1)
    over = asyncio.Event()
    seen: list[tuple[int, Any]] = []

    async def ask_on() -> None:
        while not over.is_set():
            status, answer = await first.request("api/tables/balances?limit=1000&standby=never")
            seen.append((status, answer))
            if status == 503:
                await asyncio.sleep(0.05)

    asking = asyncio.create_task(ask_on())
    third = scene.start()
    owned = await scene.settled([first, second, third], PARTITIONS)
    await third.kill()
    await scene.settled([first, second], PARTITIONS)
    hung = owner_of(ACCOUNTS[0], owned) if owner_of(ACCOUNTS[0], owned) is second else second
    hung.process.send_signal(signal.SIGSTOP)
    try:
        await scene.settled([first], PARTITIONS)
        await pay(scene, 10, NOON, ACCOUNTS)
        await until_all(first, 11)
        # It lies in the socket as the process wakes up, which does not know yet that it was replaced.
        late = await asked("api/tables/balances?limit=1000&standby=never", hung)
    finally:
        hung.process.send_signal(signal.SIGCONT)
    assert await late() in ({11}, None)
    await scene.settled([first, second], PARTITIONS)
    over.set()
    await asking
    for status, answer in seen:
        if status == 503:
            assert answer["missing"], answer
            continue
        assert status == 200, answer
        assert [row["key"] for row in answer["rows"]] == ACCOUNTS, answer
        assert {row["value"] for row in answer["rows"]} <= {1, 11}
    assert {200, 503} >= {status for status, _ in seen}
    for worker in (first, second):
        await until_all(worker, 11)


async def test_a_standby_answers_for_a_worker_that_is_gone_and_says_so(scene: Scene) -> None:
    settings = {"TABLE_STANDBY_REPLICAS": "1", "BROKER_SESSION_TIMEOUT": "90"}
    first, second = scene.start(**settings), scene.start(**settings)
    await pay(scene, 5, NOON, ACCOUNTS)
    owned = await scene.settled([first, second], PARTITIONS)
    await until_all(first, 5)
    account = next(account for account in ACCOUNTS if owner_of(account, owned) is second)
    await second.kill()
    answer = await first.until(
        f"api/tables/balances/{account}", lambda status, answer: status == 200 and answer["value"] == 5
    )
    assert answer["stale"] is True
    assert answer["source"]["role"] == "standby"
    assert answer["source"]["worker"] == f"127.0.0.1:{first.port}"
    page = await told(first, "api/tables/balances?limit=1000")
    assert [row["key"] for row in page["rows"]] == ACCOUNTS
    assert {one["role"] for one in page["partitions"]} == {"owner", "standby"}
    for path in (f"balances/{account}?standby=never", "balances?standby=never", f"balances/{account}?at={NOON}"):
        status, answer = await first.request(f"api/tables/{path}")
        assert status == 503
        assert f"127.0.0.1:{second.port} did not answer" in answer["missing"][0]["reason"]
    part = await told(first, "api/tables/balances?standby=never&partial=allow&limit=1000")
    assert part["complete"] is False
    assert sorted(one["partition"] for one in part["missing"]) == sorted(owned[second])
    assert {row["partition"] for row in part["rows"]} == set(owned[first])
    words = await scene.command("table", "get", "balances", account, "--standby", "allow")
    assert "is told by a standby" in words
