"""Several workers of one application: pages tell of all of them, and the truth while one is killed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, expect

from pelton.log.partitioner import partition_for
from tests.browser.complaints import Complaints
from tests.browser.scene import TOKEN, Scene
from tests.lifecycle.worker_processes import Worker, opened
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.timeout(600)

PARTITIONS = 4
ACCOUNTS = [f"account-{number:03}" for number in range(60)]
#: A minute, in seconds.
NOON = 1_750_000_020.0
COLLECT = "tests.lifecycle.querying_program.collect"
#: How long the group waits for a worker that says nothing: what is shown meanwhile stays long enough to be read.
SESSION = {"BROKER_SESSION_TIMEOUT": "20", "BROKER_HEARTBEAT_INTERVAL": "1"}

#: What Home says when all is well, or was but for the dead letters that the tests made.
WELL = re.compile("^\\d+ workers?, |could not be processed")

#: Notes what a reader of Home sees each time that it changes: whether all is well but for the dead letters that the
#: tests made, the health line, and each worker's line.
OBSERVE_HOME = """() => {
  window.seen = [];
  const texts = (all) => [...all].map((one) => one.textContent);
  const look = () => {
    const reasons = texts(document.querySelectorAll("#reason, #reasons li"));
    const told = JSON.stringify({
      well: reasons.every((one) => /^\\d+ workers?, |could not be processed/.test(one)),
      reasons,
      workers: [...document.querySelectorAll("#workers tr")].map((row) => texts(row.cells)),
    });
    if (told !== window.seen.at(-1)) window.seen.push(told);
  };
  const everything = { subtree: true, childList: true, characterData: true, attributes: true };
  new MutationObserver(look).observe(document.querySelector("main"), everything);
  look();
}"""


def address(worker: Worker) -> str:
    return f"127.0.0.1:{worker.port}"


def numbered(numbers: Iterable[int]) -> str:
    return " ".join(map(str, sorted(numbers)))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def workers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[Worker, list[int]]]:
    """Give three workers with the numbers of their partitions; they have worked off payments, and what is none."""
    directory = tmp_path_factory.mktemp("several")
    broker = f"sqlite:///{directory / 'log.sqlite'}?synchronous=off"
    async with opened(broker, directory, "tests.lifecycle.querying_program", "QUERYING") as scene:
        started = [scene.start(**SESSION) for _ in range(3)]
        owned = await scene.settled(started, PARTITIONS)
        payments = [(account, {"amount": 5, "at": NOON}) for account in ACCOUNTS]
        none = [(account, {"amount": "five", "at": NOON}) for account in ACCOUNTS]
        await scene.append("payments", PARTITIONS, *none, *payments)
        await started[0].until(
            "api/tables/balances?limit=1000",
            lambda status, answer: status == 200 and [row["value"] for row in answer["rows"]] == [5] * len(ACCOUNTS),
        )
        yield {worker: owned[worker] for worker in started}


@pytest_asyncio.fixture(loop_scope="session")
async def context(browser: Browser, workers: dict[Worker, list[int]]) -> AsyncIterator[BrowserContext]:
    """Give a browser that looks at the first of them."""
    made = await browser.new_context(base_url=f"http://{address(next(iter(workers)))}")
    made.set_default_timeout(PATIENCE_S * 1000)
    yield made
    await made.close()


@pytest_asyncio.fixture(loop_scope="session")
async def page(context: BrowserContext, provoked: list[str]) -> AsyncIterator[Page]:
    """Give a page of the first one; it must have neither errors nor violations of the policy when the test ends."""
    made = await context.new_page()
    complaints = Complaints(made)
    yield made
    complaints.expect_none_but(provoked)


async def test_tables_are_those_of_all_workers(page: Page, workers: dict[Worker, list[int]]) -> None:
    await page.goto("/tables")
    line = page.locator('#tables tbody tr[data-name="balances"]')
    await expect(line.locator("td").nth(2)).to_have_text(str(PARTITIONS))
    for worker, numbers in workers.items():
        await expect(line).to_contain_text(f"{address(worker)}: {numbered(numbers)}")
    await page.goto("/tables/balances?limit=100")
    await expect(page.locator("#rows td.key")).to_have_text(ACCOUNTS)
    assert set(await page.locator("#rows td:last-child").all_text_contents()) == set(map(str, range(PARTITIONS)))


async def test_topology_adds_up_what_all_workers_do(page: Page, workers: dict[Worker, list[int]]) -> None:
    parts = [(await worker.get("api/console/worker"))["agents"][COLLECT]["dead_lettered"] for worker in workers]
    assert sum(parts) == len(ACCOUNTS)
    assert all(parts), "each worker had some"
    await page.goto("/topology")
    await expect(page.locator(f'tr[data-agent="{COLLECT}"] .dead')).to_have_text(str(len(ACCOUNTS)))


async def test_the_truth_is_told_while_a_worker_is_killed(
    context: BrowserContext, page: Page, workers: dict[Worker, list[int]], provoked: list[str]
) -> None:
    provoked += ["status of 503"]
    here, other, victim = workers
    lost = workers[victim]
    account = next(one for one in ACCOUNTS if partition_for(one.encode(), PARTITIONS) in lost)
    await page.goto("/")
    await expect(page.locator("#workers tr")).to_have_count(3)
    await expect(page.locator("#reason")).to_have_text(WELL)
    await expect(page.locator("#reasons li")).to_have_count(0)
    await page.evaluate(OBSERVE_HOME)
    key = await context.new_page()
    complaints = Complaints(key)
    await key.goto(f"/tables/balances/{account}")
    await expect(key.locator("#source")).to_contain_text(f"Told by {address(victim)}, owner")
    await expect(key.locator("#value td")).to_have_text("5")

    await victim.kill()
    await key.reload()
    await expect(page.locator("#workers tr")).to_have_count(2)
    await expect(page.locator("#reason")).to_have_text(WELL)
    await expect(page.locator("#reasons li")).to_have_count(0)
    await expect(page.locator("#workers-count")).to_have_text("2")
    await expect(page.locator("#partitions-count")).to_have_text(f"workers, {PARTITIONS} partitions")
    now = {worker: (await worker.get("partitions"))["numbers"] for worker in (here, other)}
    assert sorted(number for numbers in now.values() for number in numbers) == list(range(PARTITIONS))
    for worker, numbers in now.items():
        line = page.locator("#workers tr", has_text=address(worker))
        await expect(line.locator("td").nth(1)).to_have_text(numbered(numbers))
    owner = next(worker for worker, numbers in now.items() if partition_for(account.encode(), PARTITIONS) in numbers)
    # Nobody has touched the key's page since: it asks by itself until somebody has the partition.
    await expect(key.locator("#source")).to_contain_text(f"Told by {address(owner)}, owner")
    await expect(key.locator("#value td")).to_have_text("5")
    await expect(key.get_by_role("alert")).to_have_text("")
    expect_truth(await page.evaluate("seen.map((one) => JSON.parse(one))"), address(victim), lost)
    complaints.expect_none_but(provoked)


def expect_truth(seen: list[dict[str, Any]], gone: str, lost: list[int]) -> None:
    """Raise AssertionError unless Home told of the worker that is gone, and called nothing well that was not."""
    silent = [
        told for told in seen if any(gone in line[0] and "did not answer" in line[-1] for line in told["workers"])
    ]
    assert silent, seen
    for told in silent:
        assert [line[1] for line in told["workers"] if gone in line[0]] == [numbered(lost)], told
        assert not told["well"], told
        assert any(f"worker {gone}" in reason for reason in told["reasons"]), told
    for told in seen:
        numbers = {number for line in told["workers"] for number in line[1].split() if number.isdigit()}
        assert len(numbers) == PARTITIONS or not told["well"], told


async def test_the_application_shows_rows_of_all_workers(browser: Browser, tmp_path: Path) -> None:
    banks = [Scene(tmp_path), Scene(tmp_path)]
    try:
        for bank in banks:
            bank.start()
        for bank in banks:
            await bank.until_answer("/api/console/worker", lambda told: len(told["partitions"]) == PARTITIONS / 2)
        words = ("simulate-telemetry", "--devices", "20", "--speed", "0", "--count", "200")
        await asyncio.to_thread(banks[0].command, *words)
        answer = await banks[0].until_answer("/devices", lambda told: told["known"] == 20)
        names = [one["device"] for one in answer["devices"]]
        assert {partition_for(name.encode(), PARTITIONS) for name in names} == set(range(PARTITIONS))
        for bank in banks:
            context = await browser.new_context(base_url=bank.url)
            await context.request.post("/sign-in", form={"token": TOKEN})
            page = await context.new_page()
            complaints = Complaints(page)
            await page.goto("/devices/page")
            await expect(page.locator("#devices li")).to_have_count(20)
            assert set(await page.locator("#devices li button").all_text_contents()) == set(names)
            complaints.expect_none_but([])
            await context.close()
    finally:
        for bank in banks:
            if bank.worker is not None:
                bank.kill()
