"""The page of one key: its windows, however old they are, and what is not there."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from pelton.log.partitioner import partition_for
from tests.browser.complaints import faultless_page, new_visitor
from tests.browser.links import follow
from tests.lifecycle.worker_processes import Scene, Worker, opened

pytestmark = pytest.mark.timeout(600)

PARTITIONS = 4
#: A minute, in seconds.
NOON = 1_750_000_020.0
DAY_S = 86_400
KEY = "account-of-ann"
NUMBER = partition_for(KEY.encode(), PARTITIONS)
NAMES = {name: partition_for(name.encode(), PARTITIONS) for name in map("account-{}".format, range(100))}
NEIGHBOUR = next(name for name, number in NAMES.items() if number == NUMBER)


def address(worker: Worker) -> str:
    return f"127.0.0.1:{worker.port}"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    """Give a worker; a key was paid into once, and its neighbour in the partition ten days later, too."""
    directory = tmp_path_factory.mktemp("keys")
    broker = f"sqlite:///{directory / 'log.sqlite'}?synchronous=off"
    async with opened(broker, directory, "tests.lifecycle.querying_program", "QUERYING") as scene:
        worker = scene.start(BROKER_SESSION_TIMEOUT="20", BROKER_HEARTBEAT_INTERVAL="1")
        await scene.settled([worker], PARTITIONS)
        first, later = {"amount": 5, "at": NOON}, {"amount": 7, "at": NOON + 10 * DAY_S}
        await scene.append("payments", PARTITIONS, (KEY, first), (NEIGHBOUR, later))
        for key in (KEY, NEIGHBOUR):
            await worker.until(f"api/tables/balances/{key}", lambda status, _: status == 200)
        yield scene


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser, scene: Scene, provoked: list[str]) -> AsyncIterator[Page]:
    """Give a page; it must have neither errors nor violations of the policy when the test ends."""
    async with new_visitor(browser) as visitor, faultless_page(visitor, provoked) as page:
        yield page


async def test_the_row_of_an_old_window_leads_to_that_window(page: Page, scene: Scene) -> None:
    await page.goto(f"http://{address(scene.workers[0])}/tables/minutes")
    await follow(page.locator("#rows").get_by_role("link", name=KEY, exact=True))
    await expect(page.locator("#windows tbody td.right")).to_have_text(["5"])
    await expect(page.get_by_role("button", name="Latest windows")).to_be_enabled()


async def test_a_key_whose_windows_are_older_than_others_is_shown_its_own(page: Page, scene: Scene) -> None:
    await page.goto(f"http://{address(scene.workers[0])}/tables/minutes/{KEY}")
    await expect(page.locator("#windows tbody td.right")).to_have_text(["5"])
    await page.get_by_role("button", name="Earlier windows").click()
    await expect(page.locator("#windows-said")).to_have_text("0 windows.")
    await page.get_by_role("button", name="Latest windows").click()
    await expect(page.locator("#windows tbody td.right")).to_have_text(["5"])


async def test_a_key_that_holds_nothing_is_no_error(page: Page, scene: Scene) -> None:
    server = f"http://{address(scene.workers[0])}"
    await page.goto(f"{server}/tables/balances/nobody")
    await expect(page.get_by_text("The key holds nothing now.")).to_be_visible()
    await expect(page.locator("#state")).to_have_text("live")
    await page.goto(f"{server}/tables/minutes/nobody")
    await expect(page.locator("#windows-said")).to_have_text("0 windows.")
