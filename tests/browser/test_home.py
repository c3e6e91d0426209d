"""The first page, and the frame around all of them."""

from __future__ import annotations

import json
import re

from playwright.async_api import BrowserContext, Page, Route, expect

from tests.browser.access import expect_accessible
from tests.browser.links import follow
from tests.browser.scene import HOSTILE, TOKEN, Scene
from tests.browser.wire import wired


async def test_home_answers_the_first_questions(page: Page, bank: Scene) -> None:
    await page.goto("/")
    await expect(page.locator("#state")).to_have_text("live")
    await expect(page.locator("nav [aria-current]")).to_have_text("Home")
    health = page.get_by_role("status", name="Health")
    await expect(health).to_contain_text(re.compile("All is well|could not be processed"))
    await expect(page.locator("#workers tr")).to_have_count(1)
    await expect(page.locator("#workers")).to_contain_text(f"127.0.0.1:{bank.port} (this one)0 1 2 3")
    await expect(page.locator("#partitions-count")).to_have_text("worker, 4 partitions")
    await expect(page.get_by_role("heading", name="Latest alerts")).to_be_visible()
    await page.get_by_text("with nothing behind").click()
    await expect(page.get_by_role("link", name="transactions", exact=True)).to_be_visible()


async def test_home_draws_restores_errors_and_warnings(page: Page, bank: Scene) -> None:
    """The bar, its words and its end, and what was logged, from what a worker in such trouble tells."""
    told = (await bank.get("/api/console/home"))[1]
    restoring = told["workers"][0]["partitions"][2]
    restoring |= {"state": "restoring", "restored": 250_000, "restore_total": 1_000_000, "left_s": 90.0}

    place = {"topic": "payments", "partition": "3", "offset": "17"}
    error = {"worker": "127.0.0.1:6067", "time_ms": 1_767_571_200_000, "level": "ERROR", "logger": "app"}
    error |= {"message": HOSTILE[1], "where": place, "times": 3}
    warning = error | {"level": "WARNING", "message": "slow", "where": {}, "times": 1, "time_ms": 1_767_571_199_000}
    told["errors"] = [error, warning]

    async def tell(route: Route) -> None:
        await route.fulfill(content_type="text/event-stream", body=f"retry: 200\ndata: {json.dumps(told)}\n\n")

    await page.route("**/api/console/live/home", tell)
    await page.goto("/")
    restores = page.get_by_role("region", name="Being restored")
    name = f"partition 2, worker 127.0.0.1:{bank.port}"
    await expect(restores.get_by_role("listitem")).to_contain_text(f"{name}: 250,000 of 1,000,000 records, 90 s left")
    bar = restores.get_by_role("progressbar", name=name)
    assert await bar.evaluate("one => one.value / one.max") == 0.25
    restoring |= {"restored": 750_000, "left_s": 30.0}
    await expect(bar).to_have_js_property("value", 750_000)
    await expect(restores.get_by_role("listitem")).to_contain_text("30 s left")
    lines = page.locator("#errors li")
    await expect(lines).to_have_text(
        [
            f"error {HOSTILE[1]} 2026-01-05 00:00:00, 3 times, app, topic payments, partition 3, offset 17, "
            "127.0.0.1:6067",
            "warning slow 2026-01-04 23:59:59, app, 127.0.0.1:6067",
        ]
    )
    await expect(lines.first.locator(".badge")).to_have_class("badge bad")
    await expect(lines.last.locator(".badge")).to_have_class("badge warn")
    await expect(page.locator("#no-errors")).to_be_hidden()
    await expect_accessible(page)
    restoring |= {"state": "running", "restored": 0, "restore_total": 0, "left_s": None}
    await expect(restores).to_be_hidden()


async def test_home_says_since_when_it_is_stale_and_goes_on_by_itself(
    page: Page, bank: Scene, provoked: list[str]
) -> None:
    provoked += ["net::ERR_"]
    async with wired(bank.port) as wire:
        await page.goto(f"http://127.0.0.1:{wire.port}/")
        await expect(page.locator("#state")).to_have_text("live")
        await wire.cut()
        await expect(page.locator("#state")).to_contain_text("stale since")
        await wire.mend()
        await expect(page.locator("#state")).to_have_text("live")
        await page.goto(bank.url)


async def test_whoever_has_no_session_signs_in(visitor: BrowserContext) -> None:
    page = await visitor.new_page()
    await page.goto("/payments")
    await page.get_by_label("Token").fill("not this one")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("alert")).to_have_text("This is not the token.")
    await page.get_by_label("Token").fill(TOKEN)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Payments")
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    await page.goto("/payments")
    await expect(page.get_by_label("Token")).to_be_visible()


async def test_the_application_has_its_pages_in_the_frame(page: Page) -> None:
    await page.goto("/")
    links = page.get_by_role("navigation", name="Pages of the application").get_by_role("link")
    names = await links.all_inner_texts()
    assert "Payments" in names
    for name in names:
        await follow(links.get_by_text(name, exact=True))
        await expect(page.locator("nav [aria-current]")).to_have_text(name)
        await expect(page.get_by_role("heading", level=1)).to_be_visible()
