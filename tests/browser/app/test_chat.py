"""A conversation as both sides see it: the customer's page, and the desk of those who go on."""

from __future__ import annotations

import asyncio

from playwright.async_api import BrowserContext, Page, expect

from tests.browser.app.conftest import Application
from tests.browser.complaints import faultless_page
from tests.browser.test_staying import held

ANSWER = "Your account is open, and there are 123.45 EUR in it."
#: Letters that the model says before its pause.
BEFORE_PAUSE = 28


async def ask(page: Page, text: str) -> None:
    await page.get_by_label("Question").fill(text)
    await page.get_by_role("button", name="Ask").click()


async def test_a_conversation_from_the_first_question_to_a_person(
    page: Page, visitor: BrowserContext, bank: Application, pause: asyncio.Event
) -> None:
    account = await bank.open_account("acc", 12345)
    await page.goto("/chat")
    await page.get_by_label("Account").fill(account)
    pause.clear()
    await ask(page, "What is my balance?")
    answered = page.locator("#turns .answered")
    await expect(answered.locator("p").first).to_have_text(ANSWER[:BEFORE_PAUSE])
    await expect(page.get_by_role("button", name="Ask")).to_be_disabled()
    await expect(answered.locator(".soft")).to_have_count(0)
    pause.set()
    await expect(answered.locator("p").first).to_have_text(ANSWER)
    await expect(answered.locator(".soft")).to_have_text("answered by test-model-1 · looked up: balance")

    await page.reload()
    await expect(page.get_by_label("Account")).to_have_value(account)
    await expect(page.locator("#turns .asked")).to_have_text(["What is my balance?"])
    await expect(answered).to_have_text([ANSWER])
    await ask(page, "I want to talk to somebody.")
    await expect(answered.last).to_contain_text("a person goes on: the model asked for it")

    async with faultless_page(visitor) as desk:
        await desk.goto("/chat/desk")
        waiting = desk.locator("#waiting > li", has_text=account)
        await expect(waiting).to_contain_text("waits because: the model asked for it")
        await expect(waiting.locator(".asked")).to_have_text(["What is my balance?", "I want to talk to somebody."])
        await expect(waiting.locator(".answered")).to_have_text([ANSWER, "Somebody will come to you."])
        await waiting.get_by_label(f"Answer to {account}").fill("This is Eve. What may I do for you?")
        await waiting.get_by_role("button", name="Answer").click()
        await expect(waiting).to_have_count(0)

    # The customer's page was not touched since: it looks by itself while it waits for a person.
    await expect(answered).to_have_count(3)
    await expect(answered.last).to_contain_text("This is Eve. What may I do for you?")
    await expect(answered.last.locator(".soft")).to_have_text("a person of the bank said this")
    await ask(page, "Then tell me my balance again.")
    await expect(answered.last.locator(".soft")).to_contain_text("answered by test-model-1")
    await expect(answered.last.locator("p").first).to_have_text(ANSWER)


async def test_whoever_is_answered_already_cannot_be_answered_again(
    page: Page, visitor: BrowserContext, bank: Application, pause: asyncio.Event
) -> None:
    account = await bank.open_account("acc", 12345)
    await page.goto(f"/chat?account={account}")
    await ask(page, "I want to talk to somebody.")
    await expect(page.locator("#turns .answered").last).to_contain_text("a person goes on")
    first, second = await visitor.new_page(), await visitor.new_page()
    answered = asyncio.Event()
    for desk in (first, second):
        await desk.goto("/chat/desk")
        await expect(desk.locator("#waiting > li", has_text=account)).to_be_visible()
    await second.route("**/api/chat/waiting", held(answered))  # does not see what the first one does
    for number, desk in enumerate((first, second)):
        waiting = desk.locator("#waiting > li", has_text=account)
        await waiting.get_by_label(f"Answer to {account}").fill(f"This is number {number}.")
        await waiting.get_by_role("button", name="Answer").click()
        await expect(page.locator("#turns .answered").last).to_contain_text("This is number 0.")
    await expect(second.locator("#state")).to_have_text("this conversation does not wait for a person (any more)")
    answered.set()
    await expect(second.locator("#waiting > li", has_text=account)).to_have_count(0)
    await expect(page.locator("#turns .answered")).to_have_count(2)
