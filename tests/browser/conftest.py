"""A browser and a bank for all tests here: one of each, and for each test a page that must not complain."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

from tests.browser.complaints import faultless_page, new_visitor
from tests.browser.scene import TOKEN, Scene, playing
from tests.patience import PATIENCE_S
from tests.servers import needed

expect.set_options(timeout=PATIENCE_S * 1000)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests here in one event loop: the browser and the bank live in it."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def bank(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    """Give a worker with a token, simulated payments and hostile records, all processed."""
    async with playing(tmp_path_factory.mktemp("bank")) as scene:
        yield scene


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Give Debian's Chromium. Its own sandbox wants a kernel's help that root and containers do not have."""
    async with async_playwright() as playwright:
        path = needed("chromium", "chromium")
        chromium = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        await chromium.close()


@pytest_asyncio.fixture(loop_scope="session")
async def visitor(browser: Browser, bank: Scene) -> AsyncIterator[BrowserContext]:
    """Give a browser that has never been here."""
    async with new_visitor(browser, bank.url) as visitor:
        yield visitor


@pytest.fixture
def provoked() -> list[str]:
    """Give the list of what a test provokes: parts of messages that are no fault of the page."""
    return []


@pytest_asyncio.fixture(loop_scope="session")
async def page(visitor: BrowserContext, provoked: list[str]) -> AsyncIterator[Page]:
    """Give a page that has signed in; it must have neither errors nor violations of the policy when the test ends."""
    await visitor.request.post("/sign-in", form={"token": TOKEN})
    async with faultless_page(visitor, provoked) as page:
        yield page
