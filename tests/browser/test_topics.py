"""Topics in a browser: what comes is shown, what is looked for is found, and one may write who has signed in."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest
from playwright.async_api import BrowserContext, Page, expect

from pelton.batch import OutgoingBatch
from pelton.log.partitioner import partition_for
from tests.app.bank_process import opened
from tests.browser.links import follow
from tests.browser.scene import HOSTILE, TOKEN, Scene


def review(product: str, text: str) -> dict[str, Any]:
    return {"id": uuid4().hex, "product": product, "text": text, "ts": 1_767_571_200.0, "stars": 3}


async def append(bank: Scene, key: str, text: str) -> None:
    value = json.dumps(review(key, text)).encode()
    batch = OutgoingBatch("reviews", partition_for(key.encode(), 4), [key.encode()], [value], [1_767_571_200_000])
    async with opened(bank) as log:
        await log.append([batch])


async def search(page: Page, label: str, wanted: str) -> None:
    await page.get_by_role("search").get_by_label(label, exact=True).fill(wanted)
    await page.get_by_role("button", name="Search", exact=True).click()


async def test_the_list_leads_to_a_topic(page: Page) -> None:
    await page.goto("/topics")
    await page.get_by_label("Name").fill("trans")
    await expect(page.get_by_role("link", name="reviews", exact=True)).to_be_hidden()
    await follow(page.get_by_role("link", name="transactions", exact=True))
    await expect(page.get_by_role("heading", level=1)).to_have_text("transactions")
    await expect(page.locator("#found tbody tr")).to_have_count(50)
    await page.get_by_role("button", name="Search further").click()
    await expect(page.locator("#found tbody tr")).to_have_count(100)


async def test_a_tail_shows_what_comes(page: Page, bank: Scene) -> None:
    await page.goto("/topics/reviews")
    tail, said = page.get_by_role("button", name="Tail live"), page.locator("#searched")
    await tail.click()
    await expect(said).to_contain_text("Live: 0 records")
    text = f"as it comes {uuid4().hex}"
    await append(bank, "tailed", text)
    await expect(page.locator("#found tbody tr").filter(has_text=text)).to_have_count(1)
    await tail.click()
    await expect(said).to_contain_text("(stopped)")


async def test_a_record_is_found_by_its_key_and_its_text(page: Page, bank: Scene) -> None:
    key, text = f"key-{uuid4().hex}", f"needle {uuid4().hex}"
    await append(bank, key, text)
    await page.goto("/topics/reviews")
    for label, wanted in (("Key", key), ("Text in the value", text.upper())):
        await search(page, label, wanted)
        await expect(page.locator("#searched")).to_contain_text("1 record found in all of it")
        await expect(page.locator("#found tbody tr")).to_contain_text(text)
        await search(page, label, "")
        await expect(page.locator("#found tbody tr").nth(1)).to_be_visible()


async def test_a_hostile_record_is_only_text(page: Page) -> None:
    await page.goto("/topics/reviews")
    for text in HOSTILE[:2]:
        await search(page, "Key", text)
        row = page.locator("#found tbody tr")
        await expect(row).to_have_count(1)
        await expect(row).to_contain_text(text)
    await follow(page.locator("#found tbody tr").get_by_role("link"))
    await expect(page.locator("main")).to_contain_text(HOSTILE[1])
    await expect(page.locator("main img, main script")).to_have_count(0)
    assert "owned" not in await page.title()


async def test_who_has_signed_in_writes_what_the_model_reads(page: Page, provoked: list[str]) -> None:
    provoked.append("status of 400")
    await page.goto("/topics/reviews")
    text, said = f"by hand {uuid4().hex}", page.locator("#written")
    await page.locator("#new-key").fill("by-hand")
    await page.locator("#new-value").fill('{"id": 1}')
    await page.get_by_role("button", name="Write").click()
    await expect(said).to_contain_text("could not decode 9 bytes of json as Review")
    await page.locator("#new-value").fill(json.dumps(review("by-hand", text)))
    await page.locator("#new-headers").fill("source=console")
    await page.get_by_role("button", name="Write").click()
    await expect(said).to_contain_text("Written:")
    await follow(said.get_by_role("link"))
    await expect(page.locator("main")).to_contain_text(text)
    await expect(page.get_by_role("region", name="Headers")).to_contain_text("console")


@pytest.mark.parametrize("path", ["/api/topics/reviews/records", "/api/dlq/replay", "/api/dlq/discard"])
async def test_a_change_needs_the_token_and_the_page_s_own(visitor: BrowserContext, path: str) -> None:
    """Whoever has not signed in is refused, and so is a page from elsewhere, which has the cookie and nothing else."""
    assert (await visitor.request.post(path, data={"value": "x"})).status == 401
    await visitor.request.post("/sign-in", form={"token": TOKEN})
    assert (await visitor.request.post(path, data={"value": "x"})).status == 403
