"""The pictures of the web view that docs/ shows: which page, how large, and what is done there before it is taken."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal, NamedTuple

from playwright.async_api import Page, expect

__all__ = ["LETTER", "OF_THE_BANK", "OF_THE_PAST", "SIZES", "Shot"]

SIZES = {"desktop": (1100, 780), "low": (1100, 560), "phone": (390, 844)}
#: Stands in a path for the number of a letter that there is.
LETTER = "NEWEST"
ACCOUNT = "acc-00042"


async def live(page: Page) -> None:
    """Wait until the page says that it is current."""
    await expect(page.locator("#state")).to_have_text("live")


class Shot(NamedTuple):
    """One picture. name: of the file. ready: does what is to be seen, and waits until it is."""

    name: str
    path: str
    size: Literal["desktop", "low", "phone"] = "desktop"
    scheme: Literal["light", "dark"] = "light"
    ready: Callable[[Page], Awaitable[None]] = live


def filled(rows: str) -> Callable[[Page], Awaitable[None]]:
    """Return what waits until some of these are there."""

    async def ready(page: Page) -> None:
        await expect(page.locator(rows).first).to_be_visible()

    return ready


async def sizes_told(page: Page) -> None:
    """Wait until all figures are there."""
    await expect(page.locator("#tables tbody tr").first).to_be_visible()
    await expect(page.locator("#tables tbody td", has_text="…")).to_have_count(0)


async def searched(page: Page) -> None:
    """Search a topic for a text."""
    await page.get_by_role("search").get_by_label("Text in the value", exact=True).fill('"country":"FR"')
    await page.get_by_role("button", name="Search", exact=True).click()
    await expect(page.locator("#found tbody tr").nth(9)).to_be_visible()


async def to_be_settled(page: Page) -> None:
    """Show what can be done with a dead letter."""
    await page.get_by_role("heading", name="Settle it").evaluate("one => one.parentElement.scrollIntoView()")


async def account_shown(page: Page) -> None:
    """Show a customer's payments: of somebody who has alerts."""
    await page.locator("#alerts button").first.click()
    await expect(page.locator("#found svg")).to_be_visible()
    await live(page)


async def travelled(page: Page) -> None:
    """Look at an account a while ago."""
    await live(page)
    await expect(page.locator("#found")).to_be_visible()
    await page.get_by_label("Time", exact=True).focus()
    for _ in range(4):
        await page.keyboard.press("PageDown")
    await expect(page.locator("#then-time")).to_contain_text("EUR at")
    await expect(page.locator("#events tbody tr.later").first).to_be_visible()


async def lines_found(page: Page) -> None:
    """Search the logs for errors, and show what a service says."""
    await live(page)
    await page.get_by_label("At least").select_option("error")
    await page.get_by_role("button", name="Search").click()
    await expect(page.locator("#lines li").nth(2)).to_be_visible()


async def device_shown(page: Page) -> None:
    """Show the minutes of the most unusual device."""
    await live(page)
    await page.locator("#devices button").first.click()
    await expect(page.locator("#minutes li").first).to_be_visible()
    await page.locator("#device-section").evaluate("one => one.scrollIntoView({ block: 'start' })")


async def talked(page: Page) -> None:
    """Ask what a customer asks, and then for a person."""
    await page.get_by_label("Account").fill(ACCOUNT)
    await page.get_by_label("Account").press("Tab")
    questions = ("Is one of my payments suspicious?", "How long does a transfer take?", "I want to talk to a person.")
    for number, question in enumerate(questions, start=1):
        await page.get_by_label("Question").fill(question)
        await page.get_by_role("button", name="Ask").click()
        await expect(page.locator("#turns .answered .soft")).to_have_count(number)


async def waited_for(page: Page) -> None:
    """Begin an answer to one who waits."""
    item = page.locator("#waiting > li").first
    await expect(item).to_be_visible()
    await item.get_by_role("textbox").fill("Good morning! I have looked at your payments, and")


OF_THE_BANK = (
    Shot("console-home", "/"),
    Shot("console-home-dark", "/", "desktop", "dark"),
    Shot("console-home-phone", "/", "phone"),
    Shot("console-home-phone-dark", "/", "phone", "dark"),
    Shot("console-topology", "/topology"),
    Shot("console-topology-agent", "/topology?around=app.agents.fraud.fraud", "desktop", "dark"),
    Shot("console-topology-phone", "/topology?around=app.agents.fraud.fraud", "phone"),
    Shot("console-tables", "/tables", ready=sizes_told),
    Shot("console-topics", "/topics", ready=filled("#topics tbody tr")),
    Shot("console-topic", "/topics/transactions", ready=searched),
    Shot("console-record-phone", "/topics/transactions/0/7", "phone", "dark", ready=filled("main section")),
    Shot("console-dead-letters", "/dlq", ready=filled("main .chart .bar")),
    Shot("console-dead-letter-phone", f"/dlq/{LETTER}", "phone", "dark", ready=to_be_settled),
    Shot(
        "console-sql",
        "/sql?query=SELECT+window_start%2C+COUNT%28%2A%29+AS+accounts%2C+SUM%28total%29+AS+total+FROM+minutes+GROUP+BY+window_start+ORDER+BY+window_start+DESC+LIMIT+8",
        ready=filled("#answer tbody tr"),
    ),
    Shot("console-sign-in", "/sign-in", "phone", ready=filled("form")),
    Shot("bank-payments", "/payments", ready=account_shown),
    Shot("bank-analytics", "/analytics", ready=filled("#merchant tbody tr")),
    Shot("bank-accounts", "/ledger", ready=travelled),
    Shot("bank-logs", "/logs/page", ready=lines_found),
    Shot("bank-devices", "/devices/page", "low", ready=device_shown),
    Shot("bank-orders", "/shop", ready=filled("#orders li:nth-child(5)")),
    Shot("bank-chat", "/chat", ready=talked),
    Shot("bank-desk", "/chat/desk", ready=waited_for),
    Shot("bank-anomalies", "/anomalies", ready=filled("#alerts li")),
    Shot("bank-reviews", "/reviews", ready=filled("main svg")),
    Shot("bank-models", "/models", ready=filled("main table tbody tr:nth-child(2)")),
    Shot("bank-training", "/training", ready=filled("main section")),
)

#: Of a program whose tables have a history; {account} is one of them.
OF_THE_PAST = (
    Shot(
        "console-table",
        "/tables/statements?prefix=account-0&at=2025-06-15T16:40:00",
        ready=filled("#rows tbody tr.changed"),
    ),
    Shot(
        "console-table-phone-dark",
        "/tables/statements?prefix=account-0&at=2025-06-15T16:40:00",
        "phone",
        "dark",
        ready=filled("#rows tbody tr.changed"),
    ),
    Shot(
        "console-key",
        "/tables/statements/account-002?at=2025-06-15T16:40:00",
        ready=filled("#difference tbody tr.changed"),
    ),
    Shot("console-windows", "/tables/minutes/account-002", ready=filled("#chart svg")),
)
