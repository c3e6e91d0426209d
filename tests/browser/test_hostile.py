"""Hostile words wherever the bank takes words: each of its pages shows them, as text and as nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from app.pages.navigation import PAGES
from tests.browser.access import expect_accessible
from tests.browser.complaints import faultless_page, new_visitor
from tests.browser.scene import HOSTILE, START, TOKEN, Scene, playing
from tests.browser.test_all_pages import MARKUP_OF_RECORDS

#: Behind all that is simulated.
LATER = START + 30 * 86_400
#: The last of them has characters that no page shows as they are.
SHOWN = HOSTILE[:-1]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def harmed(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    """Give a bank to which somebody has done harm wherever it takes words."""
    async with playing(tmp_path_factory.mktemp("harmed"), harmless=True) as scene:
        await scene.harm(LATER)
        await scene.harm_the_rest(LATER)
        await scene.until_idle()
        yield scene


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser, harmed: Scene) -> AsyncIterator[Page]:
    """Give a page that has signed in; it must have neither errors nor violations of the policy when the test ends."""
    async with new_visitor(browser, harmed.url) as visitor:
        await visitor.request.post("/sign-in", form={"token": TOKEN})
        async with faultless_page(visitor) as page:
            yield page


async def expect_text_only(page: Page) -> None:
    assert await page.evaluate(MARKUP_OF_RECORDS) == []
    assert await page.title() != "owned"


async def look_at_home(page: Page) -> None:
    await expect(page.locator("#cards")).to_contain_text(SHOWN[0])


async def look_at_payments(page: Page) -> None:
    for text in SHOWN:
        await page.get_by_label("Account id").fill(text)
        await page.get_by_role("button", name="Show").click()
        await expect(page.locator("#found")).to_contain_text(text)
        await expect_text_only(page)
    await expect(page.locator("#alerts")).to_contain_text(SHOWN[0])


async def look_at_analytics(page: Page) -> None:
    await expect(page.locator("#cases")).to_contain_text(SHOWN[0])


async def look_at_accounts(page: Page) -> None:
    for index, text in enumerate(SHOWN):
        await page.get_by_label("Account id").fill(f"harm-{index}")
        await page.get_by_role("button", name="Show").click()
        await expect(page.locator("#owner")).to_contain_text(text)
        await expect_text_only(page)


async def look_at_logs(page: Page) -> None:
    for text in SHOWN:
        await page.locator("#services").get_by_role("button", name=text, exact=True).click()
        await expect(page.locator("#templates-title")).to_have_text(f"What {text} says")
        await page.get_by_label("Service", exact=True).fill(text)
        await page.get_by_role("button", name="Search").click()
        await expect(page.locator("#lines")).to_contain_text(f"{text}={text}")
        await expect_text_only(page)


async def look_at_devices(page: Page) -> None:
    for text in SHOWN:
        await page.locator("#devices").get_by_role("button", name=text, exact=True).click()
        await expect(page.locator("#device-title")).to_have_text(f"Minutes of {text}")
        await expect(page.locator("#minutes")).to_contain_text(text)
        await expect_text_only(page)


async def look_at_reviews(page: Page) -> None:
    for text in SHOWN:
        await expect(page.get_by_role("heading", level=2, name=text, exact=True)).to_be_visible()


async def look_at_chat(page: Page) -> None:
    for text in SHOWN:
        await page.get_by_label("Account").fill(text)
        await page.get_by_label("Account").press("Tab")
        await expect(page.locator("#turns .asked")).to_have_text([text])
        await expect_text_only(page)


async def look_at_desk(page: Page) -> None:
    for text in SHOWN:
        waiting = page.locator("#waiting > li", has=page.get_by_role("heading", name=text, exact=True))
        await expect(waiting.locator(".asked")).to_have_text(text)


async def look_at_orders(page: Page) -> None:
    for text in SHOWN:
        order = page.locator("#orders > li").filter(has=page.get_by_text(f"1 \u00d7 {text}", exact=True))
        await expect(order.locator(":scope > div").nth(1)).to_have_text(text)


LOOKS: dict[str, Callable[[Page], Awaitable[None]]] = {
    "/": look_at_home,
    "/payments": look_at_payments,
    "/analytics": look_at_analytics,
    "/ledger": look_at_accounts,
    "/logs/page": look_at_logs,
    "/devices/page": look_at_devices,
    "/reviews": look_at_reviews,
    "/chat": look_at_chat,
    "/chat/desk": look_at_desk,
    "/shop": look_at_orders,
}


@pytest.mark.parametrize("path", ["/", "/dlq", *PAGES])
async def test_a_page_shows_hostile_words_as_words(page: Page, path: str) -> None:
    await page.goto(path)
    await expect(page.get_by_role("heading", level=1)).to_be_visible()
    if path in LOOKS:
        await LOOKS[path](page)
    await expect_text_only(page)
    await expect_accessible(page)


@pytest.mark.parametrize(
    "table", ["profiles", "devices", "log_services", "order_views", "conversations", "log_templates"]
)
async def test_a_table_of_the_bank_does_so_too(page: Page, table: str) -> None:
    await page.goto(f"/tables/{table}?limit=500")
    await expect(page.locator("#rows tbody tr").nth(len(HOSTILE) - 1)).to_be_visible()
    await expect(page.locator("#rows tbody")).to_contain_text(SHOWN[0])
    await expect_text_only(page)
    row = page.locator("#rows tbody tr").filter(has_text=SHOWN[0]).first
    key = await row.get_by_role("link").first.get_attribute("href")
    assert key is not None
    await page.goto(key)
    await expect(page.locator("main")).to_contain_text(SHOWN[0])
    await expect(page.locator("#state")).to_have_text("live")
    await expect_text_only(page)


@pytest.mark.parametrize("topic", ["raw-logs", "logs", "readings", "questions", "order-events", "conversation-events"])
async def test_a_topic_of_the_bank_and_a_record_do_so_too(page: Page, topic: str) -> None:
    await page.goto(f"/topics/{topic}")
    await page.get_by_role("search").get_by_label("Text in the value", exact=True).fill("document.title")
    await page.get_by_role("button", name="Search", exact=True).click()
    await expect(page.locator("#searched")).to_contain_text("found in all of it")
    found = page.locator("#found tbody tr")
    await expect(found.first).to_contain_text("document.title='owned'")
    await expect_text_only(page)
    record = await found.first.get_by_role("link").first.get_attribute("href")
    assert record is not None
    await page.goto(record)
    await expect(page.locator("main")).to_contain_text("document.title='owned'")
    await expect_text_only(page)
