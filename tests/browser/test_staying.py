"""What somebody typed, asked or chose stays while answers come, on pages that keep themselves current."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from uuid import uuid4

from playwright.async_api import Page, Route, expect

from tests.browser.scene import Scene


def held(until: asyncio.Event) -> Callable[[Route], Awaitable[None]]:
    """Return what keeps a request waiting."""

    async def wait(route: Route) -> None:
        await until.wait()
        await route.continue_()

    return wait


async def test_a_field_keeps_what_is_typed_before_the_first_answer(page: Page, bank: Scene) -> None:
    await bank.post("/accounts/acc-00001/open", b'{"owner": "Ada Berg"}')
    await bank.until_answer("/accounts", lambda told: told["accounts"])
    typed = asyncio.Event()
    await page.route("**/accounts", held(typed))
    await page.goto("/ledger")
    field = page.get_by_label("Account id")
    await field.fill("acc-00009")
    typed.set()
    await expect(page.locator("#name")).to_have_text("acc-00001")
    await expect(field).to_have_value("acc-00009")


async def test_a_question_stays_though_the_conversation_comes_behind_it(page: Page) -> None:
    asked = asyncio.Event()
    await page.route("**/api/chat?account=*", held(asked))
    await page.goto("/chat")
    await page.get_by_label("Account").fill(f"acc-{uuid4().hex}")
    await page.get_by_label("Question").fill("What is my balance?")
    await page.get_by_role("button", name="Ask").click()
    await expect(page.get_by_role("button", name="Ask")).to_be_disabled()
    asked.set()
    await expect(page.locator("#turns .asked")).to_have_text(["What is my balance?"])
    await expect(page.locator("#turns .answered .soft")).to_contain_text("answered by")
    await expect(page.locator("#turns .asked")).to_have_text(["What is my balance?"])


async def test_a_button_keeps_the_focus_while_its_list_is_renewed(page: Page, bank: Scene) -> None:
    words = ("simulate-telemetry", "--devices", "3", "--speed", "0", "--count", "30")
    await asyncio.to_thread(bank.command, *words)
    await page.goto("/devices/page")
    await expect(page.locator("#devices button")).to_have_count(3)
    button = page.locator("#devices button").nth(1)
    name = await button.inner_text()
    await button.focus()
    for _ in range(2):
        async with page.expect_response("**/devices") as answering:
            pass
        await (await answering.value).finished()
    assert await page.evaluate("document.activeElement.textContent") == name
