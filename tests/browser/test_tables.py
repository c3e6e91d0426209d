"""Tables: browsed page by page, a key with its windows, its past and its changelog, files, and SQL."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Route, expect

from tests.browser.complaints import faultless_page, new_visitor
from tests.browser.links import follow
from tests.browser.scene import HOSTILE
from tests.lifecycle.worker_processes import Worker, opened

PARTITIONS = 4
#: A minute, in seconds.
NOON = 1_750_000_020.0
ACCOUNTS = [f"account-{number:03}" for number in range(60)]
KEYS = [*HOSTILE, "..", "", "a/b"]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def worker(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Worker]:
    """Give a worker without a token, whose tables have accounts that paid three times, and hostile keys."""
    directory = tmp_path_factory.mktemp("tables")
    broker = f"sqlite:///{directory / 'log.sqlite'}?synchronous=off"
    async with opened(broker, directory, "tests.lifecycle.querying_program", "QUERYING") as scene:
        worker = scene.start()
        paid = [(key, minute) for minute in range(3) for key in (*ACCOUNTS, *KEYS)]
        records = [(key, {"amount": 10 + minute, "at": NOON + 60 * minute}) for key, minute in paid]
        await scene.append("payments", PARTITIONS, *records)
        await worker.until(
            "api/tables/statements?limit=1000",
            lambda status, answer: status == 200 and [row["value"]["total"] for row in answer["rows"]] == [33] * 70,
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


async def test_rows_are_browsed_by_pages_and_by_prefix_and_taken_away_as_a_file(page: Page, tmp_path: Path) -> None:
    await page.goto("/tables")
    row = page.locator("#tables tbody tr", has=page.get_by_role("link", name="statements", exact=True))
    await expect(row.locator("td").nth(2)).to_have_text(str(PARTITIONS))
    await expect(row.locator("td").nth(3)).not_to_have_text("…")
    await follow(row.get_by_role("link"))
    await page.get_by_label("Keys that begin with").fill("account-")
    await page.get_by_label("Rows a page").select_option("25")
    await page.get_by_role("button", name="Show").click()
    keys = page.locator("#rows tbody td.key")
    await expect(keys).to_have_text(ACCOUNTS[:25])
    await expect(page.locator("#rows tbody tr").first.locator("td").nth(2)).to_have_class("right")
    await page.get_by_role("button", name="Next page").click()
    await expect(keys).to_have_text(ACCOUNTS[25:50])
    await page.reload()
    await expect(keys).to_have_text(ACCOUNTS[25:50])
    await page.get_by_role("button", name="Next page").click()
    await expect(keys).to_have_text(ACCOUNTS[50:])
    await expect(page.get_by_role("button", name="Next page")).to_be_disabled()
    await page.get_by_role("button", name="Previous page").click()
    await expect(keys).to_have_text(ACCOUNTS[25:50])
    async with page.expect_download() as downloading:
        await page.get_by_role("link", name="NDJSON").click()
    file = tmp_path / "rows.ndjson"
    await (await downloading.value).save_as(file)
    assert (await downloading.value).suggested_filename == "statements.ndjson"
    assert [json.loads(line)["key"] for line in file.read_text().splitlines()] == ACCOUNTS


async def test_what_somebody_types_stays_while_the_answer_is_on_its_way(page: Page) -> None:
    typed = asyncio.Event()

    async def late(route: Route) -> None:
        await typed.wait()
        await route.continue_()

    await page.route("**/api/tables", late)
    await page.goto("/tables/statements?limit=25")
    prefix = page.get_by_label("Keys that begin with")
    await prefix.fill("account-")
    typed.set()
    await expect(page.locator("#rows tbody tr")).to_have_count(25)
    await expect(prefix).to_have_value("account-")


async def test_what_somebody_types_stays_while_the_page_s_script_is_on_its_way(page: Page) -> None:
    typed = asyncio.Event()

    async def late(route: Route) -> None:
        await typed.wait()
        await route.continue_()

    await page.route("**/static/console/values.js", late)
    await page.goto("/tables/statements?limit=25&prefix=acc", wait_until="commit")
    prefix = page.get_by_label("Keys that begin with")
    await prefix.fill("account-01")
    typed.set()
    await expect(page.locator("#rows tbody tr")).to_have_count(25)
    await expect(prefix).to_have_value("account-01")
    await expect(page.get_by_label("Rows a page")).to_have_value("25")


async def test_an_answer_that_comes_late_does_not_replace_a_later_one(page: Page) -> None:
    shown = asyncio.Event()

    async def late(route: Route) -> None:
        await shown.wait()
        await route.continue_()

    await page.goto("/tables/statements?limit=25")
    await expect(page.locator("#rows tbody tr")).to_have_count(25)
    await page.route("**/api/tables/statements?prefix=account-01*", late)
    prefix, show = page.get_by_label("Keys that begin with"), page.get_by_role("button", name="Show")
    async with page.expect_response("**/api/tables/statements?prefix=account-01*") as answering:
        await prefix.fill("account-01")
        await show.click()
        await prefix.fill("account-02")
        await show.click()
        await expect(page.locator("#rows td.key")).to_have_text(ACCOUNTS[20:30])
        shown.set()
    await (await answering.value).finished()
    await page.evaluate("new Promise((done) => setTimeout(done))")
    await expect(page.locator("#rows td.key")).to_have_text(ACCOUNTS[20:30])


async def test_a_key_shows_its_windows_where_it_lives_and_its_changelog(page: Page, worker: Worker) -> None:
    await page.goto("/tables/minutes")
    await page.get_by_label("Key", exact=True).fill("account-007")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("account-007")
    await expect(page.locator("#chart svg .bar")).to_have_count(3)
    await expect(page.locator("#windows tbody td.right")).to_have_text(["12", "11", "10"])
    await expect(page.locator("#places tbody")).to_contain_text(f"127.0.0.1:{worker.port}owner0now")
    await page.get_by_role("button", name="Search the changelog").click()
    await expect(page.locator("#searched")).to_contain_text("3 records of this key. That is all of it.")
    await expect(page.locator("#changes tbody td:last-child")).to_have_text(["12", "11", "10"])


async def test_the_slider_shows_a_key_as_it_was_and_what_has_changed_since(page: Page) -> None:
    await page.goto("/tables/statements/account-001")
    await expect(page.locator("#then-said")).to_have_text("As it is now.")
    await page.get_by_label("Time", exact=True).focus()
    await page.keyboard.press("Home")
    await expect(page.locator("#then-said")).to_have_text("4 fields changed since.")
    await expect(page.locator("#difference tr.changed").first).to_have_text("payments13")
    await page.keyboard.press("End")
    await expect(page.locator("#then-said")).to_have_text("As it is now.")
    await expect(page.locator("#difference tr.changed")).to_have_count(0)
    await page.get_by_label("At (UTC)").fill("2020-01-01T00:00:00")
    await page.keyboard.press("Enter")
    await expect(page.locator("#then-said")).to_contain_text(
        "2020-01-01 00:00:00 lies before the history, which is kept since 2025-06-14 15:09:00:"
    )
    await expect(page.locator("#difference tbody tr").first).to_have_text("paymentsnot known3")
    await expect(page.get_by_role("alert")).to_have_text("")
    await page.reload()
    await expect(page.locator("#then-said")).to_contain_text("2020-01-01 00:00:00 lies before the history")
    await page.get_by_label("Time", exact=True).focus()
    await page.keyboard.press("End")
    await expect(page.locator("#then-said")).to_have_text("As it is now.")


async def test_hostile_keys_are_text_and_are_found(page: Page) -> None:
    await page.goto("/tables/statements?limit=100")
    await expect(page.locator("#rows tbody tr")).to_have_count(len(ACCOUNTS) + len(KEYS))
    links = await page.locator("#rows td.key a").evaluate_all("all => all.map(one => [one.textContent, one.href])")
    found = {text: address for text, address in links if not text.startswith("account-")}
    assert found.keys() == {key or "(empty)" for key in KEYS}
    for key, address in found.items():
        await page.goto(address)
        await expect(page.locator("#value table.fields")).to_contain_text("33")
        assert await page.locator("h1").evaluate("one => one.textContent") == key
        assert await page.locator("main script, main img, main svg[onload]").count() == 0
        assert await page.title() != "owned"


async def test_a_statement_is_run_shared_and_its_error_told(page: Page, provoked: list[str]) -> None:
    provoked += ["400 (Bad Request)"]
    await page.goto("/sql")
    await page.get_by_role("button", name="statements").click()
    editor = page.get_by_label("A SELECT over the tables")
    await expect(editor).to_have_value("SELECT * FROM statements LIMIT 100")
    await editor.fill("SELECT SUM(total) AS paid FROM statements")
    await editor.press("Control+Enter")
    await expect(page.locator("#answer th")).to_have_text("paid")
    await expect(page.locator("#answer tbody td")).to_have_text("2,310")
    await page.goto(page.url)
    await expect(page.locator("#answer tbody td")).to_have_text("2,310")
    await editor.fill("SELECT nothing FROM statements")
    await editor.press("Control+Enter")
    await expect(page.get_by_role("alert")).to_contain_text("nothing")
    await expect(page.locator("#answer tbody tr")).to_have_count(0)
