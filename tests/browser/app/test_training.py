"""What is made of conversations, as the page of data for training shows it."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import msgspec
from playwright.async_api import Page, expect

from tests.browser.app.conftest import Application


async def test_who_agrees_is_in_the_data_and_who_does_not_is_counted(
    page: Page, bank: Application, pause: asyncio.Event
) -> None:
    async def asks(agrees: bool, text: str) -> None:
        account = f"acc-{uuid4().hex[:8]}"
        await bank.post(f"/accounts/{account}/open", b'{"owner": "Ada Berg"}')
        consent = msgspec.json.encode({"account": account, "given": agrees})
        assert (await bank.post("/chat/consent", consent))[0] == 202
        status, told = await bank.post("/chat", msgspec.json.encode({"account": account, "text": text}))
        assert status == 200
        rating = msgspec.json.encode({"account": account, "question": told["id"], "helpful": True})
        assert (await bank.post("/chat/rating", rating))[0] == 202

    await asks(True, "Write to ada@example.org what the balance is.")
    await asks(False, "Tell me my balance, and tell nobody.")
    await page.goto("/training")
    counts = page.locator("section", has=page.get_by_role("heading", name="Exchanges"))
    await expect(counts.get_by_role("row", name="taken in")).to_contain_text("1")
    await expect(counts.get_by_role("row", name="redacted: mail")).to_contain_text("1")
    await expect(counts.get_by_role("row", name="no consent")).not_to_have_count(0)
    version = page.get_by_role("row", name="v000001")
    await expect(version).to_be_visible()
