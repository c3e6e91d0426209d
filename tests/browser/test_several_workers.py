"""Several workers of one application: pages tell of all of them, and the truth while one is killed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, expect

from pelton.log.partitioner import partition_for
from tests.browser.complaints import faultless_page, new_visitor
from tests.browser.scene import TOKEN, Scene
from tests.browser.tour import ACCOUNTS, PARTITIONS, address, numbered, three_workers, tour
from tests.lifecycle.worker_processes import Scene as WorkerScene
from tests.lifecycle.worker_processes import Worker

pytestmark = pytest.mark.timeout(600)

Workers = dict[Worker, list[int]]
COLLECT = "tests.lifecycle.querying_program.collect"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[WorkerScene, Workers]]:
    """Give three workers; they have worked off payments, and what is none."""
    async with three_workers(tmp_path_factory.mktemp("several")) as found:
        yield found


@pytest.fixture(scope="module")
def workers(running: tuple[WorkerScene, Workers]) -> Workers:
    """Give the three with the numbers of their partitions."""
    return running[1]


@pytest_asyncio.fixture(loop_scope="session")
async def context(browser: Browser, workers: Workers) -> AsyncIterator[BrowserContext]:
    """Give a browser that looks at the first of them."""
    async with new_visitor(browser, f"http://{address(next(iter(workers)))}") as visitor:
        yield visitor


@pytest_asyncio.fixture(loop_scope="session")
async def page(context: BrowserContext, provoked: list[str]) -> AsyncIterator[Page]:
    """Give a page of the first one; it must have neither errors nor violations of the policy when the test ends."""
    async with faultless_page(context, provoked) as page:
        yield page


async def test_tables_are_those_of_all_workers(page: Page, workers: Workers) -> None:
    await page.goto("/tables")
    line = page.locator('#tables tbody tr[data-name="balances"]')
    await expect(line.locator("td").nth(2)).to_have_text(str(PARTITIONS))
    for worker, numbers in workers.items():
        await expect(line).to_contain_text(f"{address(worker)}: {numbered(numbers)}")
    await page.goto("/tables/balances?limit=100")
    await expect(page.locator("#rows td.key")).to_have_text(ACCOUNTS)
    assert set(await page.locator("#rows td:last-child").all_text_contents()) == set(map(str, range(PARTITIONS)))


async def test_topology_adds_up_what_all_workers_do(page: Page, workers: Workers) -> None:
    parts = [(await worker.get("api/console/worker"))["agents"][COLLECT]["dead_lettered"] for worker in workers]
    assert sum(parts) == len(ACCOUNTS)
    assert all(parts), "each worker had some"
    await page.goto("/topology")
    await expect(page.locator(f'tr[data-agent="{COLLECT}"] .dead')).to_have_text(str(len(ACCOUNTS)))


async def test_the_truth_is_told_while_a_worker_is_killed(
    context: BrowserContext, running: tuple[WorkerScene, Workers]
) -> None:
    async def pass_by(_: str, __: Page) -> None:
        """Do not stay: what is to be seen is gone when the session of the one that was killed is over."""

    await tour(context, *running, pass_by)


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
            async with new_visitor(browser, bank.url) as visitor:
                await visitor.request.post("/sign-in", form={"token": TOKEN})
                async with faultless_page(visitor) as page:
                    await page.goto("/devices/page")
                    await expect(page.locator("#devices li")).to_have_count(20)
                    assert set(await page.locator("#devices li button").all_text_contents()) == set(names)
    finally:
        for bank in banks:
            if bank.worker is not None:
                bank.kill()
