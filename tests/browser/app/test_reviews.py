"""What customers write, as the page of reviews shows it: each product's hours, and a drop with what it is about."""

from __future__ import annotations

import asyncio
from uuid import uuid4

from playwright.async_api import Page, expect

from app.models import Review
from app.simulation import DEFAULT_START
from tests.browser.app.conftest import Application, Told

HOUR_S = 3_600.0
#: Behind what other tests here write.
BEGIN = DEFAULT_START + 24 * HOUR_S


async def test_a_product_that_is_liked_no_more(page: Page, bank: Application, pause: asyncio.Event) -> None:
    product = f"loan {uuid4().hex[:8]}"

    def said(hour: int, minute: int, text: str) -> Told:
        return "reviews", product, Review(uuid4().hex, product, text, BEGIN + hour * HOUR_S + minute * 60), None

    liked = [said(hour, minute, f"I like it, {hour} {minute}.") for hour in range(4) for minute in range(10)]
    not_liked = [said(4, minute, f"The fees are awful, {minute}.") for minute in range(10)]
    await bank.tell([*liked, *not_liked, said(5, 10, "Well.")])
    await page.goto("/reviews")
    mine = page.locator("section", has=page.get_by_role("heading", name=product))
    await expect(mine).to_contain_text("50 reviews in 5 hours; the last hour sounds like -0.80")
    await expect(mine).to_contain_text("Aspects in the last hour: fees -0.90 (10)")
    await expect(mine.locator(".alerts li")).to_contain_text(
        "-0.80 in 10 reviews, after +0.70 before, fees most of all"
    )
    await expect(mine.get_by_role("img", name="mean score of 5 hours").locator("rect")).to_have_count(5)
