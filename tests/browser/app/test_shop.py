"""Orders as the shop's page shows them: to their end, refused, cancelled, and given back what was paid."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Page, expect

from tests.browser.app.conftest import Application


@pytest.fixture
async def account(bank: Application) -> str:
    """Give an account with 20,000 EUR."""
    return await bank.open_account("shopper", 2_000_000)


async def order(page: Page, account: str, product: str, quantity: int) -> None:
    await page.get_by_label("Account").fill(account)
    await page.get_by_label("Product").select_option(product)
    await page.get_by_label("How many").fill(str(quantity))
    await page.get_by_role("button", name="Order").click()


async def balance(bank: Application, account: str, cents: int) -> None:
    await bank.until_answer(f"/accounts/{account}", lambda told: told["balance_cents"] == cents)


async def test_an_order_is_paid_for_and_confirmed(page: Page, bank: Application, account: str) -> None:
    await page.goto("/shop")
    await order(page, account, "wallet", 2)
    await expect(page.locator("#outcome")).to_contain_text(" is confirmed.")
    mine = page.locator("#orders > li", has_text=account)
    await expect(mine).to_contain_text("confirmed")
    await expect(mine).to_contain_text(re.compile("2 . wallet"))
    await expect(mine).to_contain_text("78.00 EUR")
    await expect(mine.get_by_role("button")).to_have_count(0)
    await balance(bank, account, 19_922_00)


async def test_who_cannot_pay_gets_nothing(page: Page, bank: Application, account: str) -> None:
    await page.goto("/shop")
    await order(page, account, "coin roll", 1_000)
    await expect(page.locator("#outcome")).to_contain_text("insufficient funds: 50,000.00 EUR asked")
    await expect(page.locator("#orders > li", has_text=account)).to_contain_text("cancelled")
    await balance(bank, account, 20_000_00)


async def test_what_the_warehouse_has_not_is_paid_back(page: Page, bank: Application, account: str) -> None:
    await page.goto("/shop")
    await order(page, account, "piggy bank", 250)
    await expect(page.locator("#outcome")).to_contain_text(" is cancelled: only 200 left of piggy bank")
    mine = page.locator("#orders > li", has_text=account)
    await expect(mine.locator(".rule")).to_have_text("returned")
    await balance(bank, account, 20_000_00)
    events = (await bank.get(f"/accounts/{account}/events"))[1]["events"]
    assert [one["event"]["type"] for one in events][-2:] == ["Withdrawn", "Deposited"]


async def test_an_order_that_nobody_works_on_can_be_cancelled(page: Page, bank: Application, account: str) -> None:
    bank.kill_service("payments")
    try:
        await page.goto("/shop")
        await order(page, account, "umbrella", 1)
        await expect(page.locator("#outcome")).to_contain_text("is under way.")
        mine = page.locator("#orders > li", has_text=account)
        await expect(mine.locator(".rule")).to_have_text("placed")
        await mine.get_by_role("button", name="cancel order").click()
        await expect(mine.locator(".rule")).to_have_text("cancelled")
        await expect(mine.get_by_role("button")).to_have_count(0)
    finally:
        bank.start_service("payments")
    await order(page, account, "wallet", 1)
    await expect(page.locator("#orders > li", has_text=account).filter(has_text="wallet")).to_contain_text("confirmed")
    await balance(bank, account, 19_961_00)
