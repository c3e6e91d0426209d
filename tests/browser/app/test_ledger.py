"""An account as the page of accounts shows it: commands, what is refused and why, and its past."""

from __future__ import annotations

from uuid import uuid4

from playwright.async_api import Page, expect

from tests.browser.app.conftest import Application


async def command(page: Page, kind: str, *, eur: str = "", other: str = "") -> None:
    """Send one, and wait for what becomes of it."""
    await page.get_by_label("Command").select_option(kind)
    if eur:
        await page.get_by_label("EUR", exact=True).fill(eur)
    if other:
        await page.locator("#other").fill(other)
    await page.get_by_role("button", name="Send").click()
    await expect(page.locator("#done")).to_contain_text(f"{kind}: ")


async def shows(page: Page, *, balance: str, status: str, version: int) -> None:
    await expect(page.locator("#then-balance")).to_have_text(balance)
    await expect(page.locator("#then-status")).to_have_text(status)
    await expect(page.locator("#then-version")).to_have_text(str(version))


async def show(page: Page, account: str) -> None:
    await page.get_by_label("Account id").fill(account)
    await page.get_by_role("button", name="Show", exact=True).click()
    await expect(page.locator("#name")).to_have_text(account)


async def test_an_account_from_its_opening_to_its_freezing_and_back_in_time(
    page: Page, bank: Application, provoked: list[str]
) -> None:
    provoked += ["status of 409"]
    ann, bob = f"ann-{uuid4().hex[:8]}", f"bob-{uuid4().hex[:8]}"
    assert (await bank.post(f"/accounts/{bob}/open", b'{"owner": "Bob Falk"}'))[0] == 200
    await page.goto("/ledger")
    await expect(page.locator("#name")).not_to_have_text("")  # some account is shown: now it is ours
    await show(page, ann)
    await expect(page.locator("#trouble")).to_have_text(f"Nothing has happened to {ann} yet.")
    done = page.locator("#done")
    await command(page, "deposit", eur="5")
    await expect(done).to_have_text("deposit: the account is unopened")
    await command(page, "open", other="Ann Berg")
    await expect(done).to_have_text(f"open: done, {ann} is at version 1")
    await expect(page.locator("#owner")).to_have_text("Ann Berg")
    await command(page, "deposit", eur="100")
    await shows(page, balance="100.00", status="open", version=2)
    await command(page, "withdraw", eur="30.50")
    await expect(done).to_have_text(f"withdraw: done, {ann} is at version 3")
    await shows(page, balance="69.50", status="open", version=3)
    await command(page, "withdraw", eur="69.51")
    await expect(done).to_have_text("withdraw: insufficient funds: 69.51 EUR asked, 69.50 EUR available")
    await command(page, "transfer", eur="20", other=bob)
    await shows(page, balance="49.50", status="open", version=5)  # sent, and settled
    await command(page, "freeze")
    await shows(page, balance="49.50", status="frozen", version=6)
    await command(page, "withdraw", eur="1")
    await expect(done).to_have_text("withdraw: the account is frozen")
    words = page.locator("#events tbody td:nth-child(3)")
    told = [
        "frozen",
        f"transfer 1 arrived at {bob}",
        f"transfer 1 to {bob}",
        "taken out",
        "paid in",
        "opened by Ann Berg",
    ]
    await expect(words).to_have_text(told)

    # Event by event, and with the slider to its first moment and back to now.
    back, forth = page.get_by_label("One event back"), page.get_by_label("One event on")
    await back.click()
    await shows(page, balance="49.50", status="open", version=5)
    await back.click()  # the transfer was sent and settled at one time
    await shows(page, balance="69.50", status="open", version=3)
    await expect(page.locator("#events tr.later")).to_have_count(3)
    await expect(page.locator("#then-time")).to_contain_text("EUR at ")
    await forth.click()
    await shows(page, balance="49.50", status="open", version=5)
    await page.get_by_label("Time", exact=True).press("Home")
    await shows(page, balance="0.00", status="open", version=1)
    await page.get_by_label("Time", exact=True).press("End")
    await shows(page, balance="49.50", status="frozen", version=6)
    await expect(page.locator("#then-time")).to_have_text("EUR now")

    await show(page, bob)
    await shows(page, balance="20.00", status="open", version=2)
    await expect(words.first).to_have_text(f"from {ann}")
