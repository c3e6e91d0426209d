"""Dead letters in a browser: counted, inspected, edited and replayed, and told when somebody else was faster."""

from __future__ import annotations

import json
from uuid import uuid4

from playwright.async_api import Page, expect

from pelton.batch import OutgoingBatch
from pelton.clock import SystemClock
from pelton.log.partitioner import partition_for
from pelton.runtime.letters import LetterQuery, Number
from pelton.runtime.settling import discard
from tests.app.bank_process import opened
from tests.browser.links import follow
from tests.browser.scene import Scene

SENTIMENTS = "sentiments"


async def killed_off(bank: Scene, word: str, count: int = 1) -> None:
    """Have records die that hold a word, and return when there are letters of so many."""
    values: list[bytes | None] = [f'{{"id": "{word}", "stars": "none"}}'.encode()] * count
    key = word.encode()
    async with opened(bank) as log:
        batch = OutgoingBatch("reviews", partition_for(key, 4), [key] * count, values, [1_767_571_200_000] * count)
        await log.append([batch])
    await bank.until_answer("/api/dlq/letters?topic=reviews", lambda told: len(told["letters"]) >= count)


async def test_an_edited_letter_is_processed(page: Page, bank: Scene) -> None:
    word = uuid4().hex
    await killed_off(bank, word)
    await page.goto("/dlq?topic=reviews")
    await expect(page.get_by_role("region", name="Reasons")).to_contain_text("DecodeError")
    await follow(page.locator("#letters tbody tr").first.get_by_role("link").first)
    await expect(page.locator("#value")).to_have_value(f'{{"id": "{word}", "stars": "none"}}')
    good = {"id": word, "product": word, "text": "I love it", "ts": 1_767_571_200.0}
    await page.locator("#value").fill(json.dumps(good))
    await page.get_by_role("button", name="Replay as edited").click()
    await expect(page.locator("#outcome")).to_have_text("1 letter replayed.")
    await page.goto(f"/topics/{SENTIMENTS}")
    await page.get_by_role("search").get_by_label("Text in the value", exact=True).fill(word)
    await page.get_by_role("button", name="Search", exact=True).click()
    await expect(page.locator("#found tbody tr")).to_have_count(1)


async def test_letters_that_somebody_else_settled_are_told(page: Page, bank: Scene) -> None:
    await killed_off(bank, uuid4().hex, 3)
    await page.goto("/dlq?topic=reviews")
    boxes = page.locator("#letters tbody input")
    await expect(boxes).to_have_count(3)
    numbers = [await box.get_attribute("value") for box in await boxes.all()]
    query = LetterQuery(frozenset({Number.parse(str(numbers[0]))}))
    async with opened(bank) as log:
        await discard(log, "bank", query, SystemClock(), lambda _: None, reason="rubbish")
    await page.get_by_label("Select all that are shown").check()
    await page.get_by_label("Why").fill("no reviews")
    await page.get_by_role("button", name="Discard 3").click()
    await expect(page.locator("#outcome")).to_have_text(
        f"2 letters discarded. {numbers[0]} had been discarded already: rubbish."
    )
    await expect(page.get_by_text("No letters.")).to_be_visible()
    await page.goto(f"/dlq/{numbers[1]}")
    await expect(page.locator("main")).to_contain_text("no reviews")
    await expect(page.get_by_text("It is settled.")).to_be_visible()
