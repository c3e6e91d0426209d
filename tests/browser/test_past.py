"""The past of tables with history: rows and keys as they were, what has changed since, and what nobody knows."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.browser.access import expect_accessible
from tests.browser.complaints import faultless_page, new_visitor
from tests.lifecycle.worker_processes import Worker, opened

PARTITIONS = 4
#: A minute, in seconds: 2025-06-15 15:07.
NOON = 1_750_000_020.0
DAY_S = 86_400
ACCOUNTS = [f"account-{number:03}" for number in range(40)]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def worker(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Worker]:
    """Give a worker whose tables have a day's history: of accounts, one that came, one that went, and one long idle."""
    directory = tmp_path_factory.mktemp("past")
    broker = f"sqlite:///{directory / 'log.sqlite'}?synchronous=off"
    async with opened(broker, directory, "tests.lifecycle.querying_program", "QUERYING") as scene:
        worker = scene.start()
        paid = [(key, minute) for minute in range(3) for key in ACCOUNTS]
        records = [
            ("idle", {"amount": 7, "at": NOON - 2 * DAY_S}),
            ("gone", {"amount": 5, "at": NOON}),
            *((key, {"amount": 10 + minute, "at": NOON + 60 * minute}) for key, minute in paid),
            ("late", {"amount": 9, "at": NOON + 90}),
            ("gone", {"amount": 0, "at": NOON + 100}),
        ]
        await scene.append("payments", PARTITIONS, *records)
        wanted = {**dict.fromkeys(ACCOUNTS, 33), "idle": 7, "late": 9}
        await worker.until(
            "api/tables/balances?limit=1000",
            lambda status, answer: status == 200 and {row["key"]: row["value"] for row in answer["rows"]} == wanted,
        )
        yield worker


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser, worker: Worker, provoked: list[str]) -> AsyncIterator[Page]:
    """Give a page of that worker; it must have neither errors nor violations of the policy when the test ends."""
    async with (
        new_visitor(browser, f"http://127.0.0.1:{worker.port}") as visitor,
        faultless_page(visitor, provoked) as page,
    ):
        yield page


async def test_a_key_that_has_not_changed_within_the_history_says_so(page: Page) -> None:
    await page.goto("/tables/balances/idle")
    await expect(page.locator("#kept")).to_have_text(
        "The history is kept since 2025-06-14 15:09:00, by the times of events. "
        "The key has not changed since: its last change is of 2025-06-13 15:07:00."
    )
    slider = page.get_by_label("Time", exact=True)
    await slider.focus()
    await page.keyboard.press("Home")
    await expect(slider).to_have_js_property("value", "0")
    await expect(page.locator("#difference tbody tr")).to_have_text("value77")
    await expect(page.locator("#then-said")).to_have_text("As it is now.")
    await expect(page.get_by_role("alert")).to_have_text("")


async def test_the_slider_shows_the_rows_of_a_table_as_they_were_and_how_they_differ(page: Page) -> None:
    await page.goto("/tables/statements?prefix=account-00&limit=25")
    said, rows, slider = (
        page.locator("#past-said"),
        page.locator("#rows tbody tr"),
        page.get_by_label("Time", exact=True),
    )
    await expect(said).to_have_text("These are the rows as they are now.")
    await expect(rows).to_have_count(10)
    await page.get_by_label("Keys that begin with").fill("account-01")  # typed, and not asked for yet
    await slider.focus()
    await page.keyboard.press("ArrowLeft")
    await expect(said).to_contain_text("You look at the past: the rows as they were at 2025-06-15 15:0")
    await page.get_by_label("As it was at (UTC)").fill("2025-06-15T15:08:30")
    await page.keyboard.press("Enter")
    await expect(said).to_have_text(
        "You look at the past: the rows as they were at 2025-06-15 15:08:30 (UTC). "
        "Since then, of 10 keys here: 10 changed."
    )
    await expect(rows).to_have_count(10)
    await expect(rows.first).to_have_class("changed")
    await expect(rows.first.locator("td").nth(2)).to_have_text("2now 3")
    await expect(slider).to_have_attribute("aria-valuetext", "2025-06-15 15:08:30")
    await expect(page.get_by_label("Keys that begin with")).to_have_value("account-01")
    await page.reload()
    await expect(page.get_by_label("As it was at (UTC)")).to_have_value("2025-06-15T15:08:30")
    await expect(rows.first.locator("td").nth(2)).to_have_text("2now 3")
    await page.go_back()
    await expect(said).to_have_text("These are the rows as they are now.")
    await page.go_forward()
    await expect(said).to_contain_text("You look at the past")
    await page.get_by_role("button", name="Back to now").click()
    await expect(said).to_have_text("These are the rows as they are now.")
    await expect(rows.first.locator("td").nth(1)).to_have_text("3")
    assert "at=" not in page.url


async def test_a_table_s_rows_that_have_come_and_gone_since_are_marked(page: Page) -> None:
    await page.goto("/tables/balances?limit=25&prefix=late&at=2025-06-15T15:07:30")
    said, row = page.locator("#past-said"), page.locator("#rows tbody tr")
    await expect(said).to_contain_text("of 1 key here: 1 added.")
    await expect(row.locator("td").nth(1)).to_have_text("added")
    await expect(row.locator("td").nth(2)).to_contain_text("now 9")
    await expect(row).to_have_class("added")
    await page.goto("/tables/balances?limit=25&prefix=gone&at=2025-06-15T15:07:30")
    await expect(said).to_contain_text("of 1 key here: 1 removed.")
    await expect(row.locator("td").nth(1)).to_have_text("removed")
    await page.goto("/tables/balances?limit=100&at=2025-06-15T15:07:30")
    await expect(said).to_contain_text("of 43 keys here: 40 changed, 1 added, 1 removed.")
    await expect_accessible(page)
    await page.goto("/tables/balances?prefix=late&at=2020-01-01")
    await expect(said).to_contain_text("lies before the history, which is kept since 2025-06-14 15:09:00")
    await expect(row.locator("td").nth(1)).to_have_text("9")
