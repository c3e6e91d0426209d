"""The first page, and the frame around all of them."""

from __future__ import annotations

import re

from playwright.async_api import BrowserContext, Page, expect

from tests.browser.links import follow
from tests.browser.scene import TOKEN, Scene
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
