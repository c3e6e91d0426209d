"""Deployed models as their page shows them: staged, with what each version says, taken back, and refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import msgspec
from msgspec.structs import replace
from playwright.async_api import Locator, Page, expect

from app.deployment import SENTIMENT
from app.models import ModelOrder, Promote, Review, Rollback
from app.simulation import DEFAULT_START
from tests.app.deployment.test_agents import published
from tests.browser.app.conftest import Application, Told


def reviews(count: int) -> Sequence[Told]:
    names = [uuid4().hex for _ in range(count)]
    return [("reviews", name, Review(name, name, "I love the app.", DEFAULT_START, 5), None) for name in names]


async def test_versions_are_staged_taken_back_and_refused(page: Page, bank: Application) -> None:
    async def order(one: ModelOrder) -> Any:
        status, told = await bank.post("/api/models", msgspec.json.encode(one))
        return status, told["told"]

    def version(name: str) -> Locator:
        return page.get_by_role("row", name=name)

    await page.goto("/models")
    await expect(page.get_by_text("No model was published yet.")).to_be_visible()
    assert (await order(published("v1")))[0] == 200
    assert (await order(published("v2", 200)))[0] == 200
    assert (await order(replace(published("v3"), sha256="0" * 64)))[0] == 409
    # The page comes anew by itself.
    await expect(version("v1").locator("td").nth(1)).to_have_text("candidate")
    await expect(version("v3").locator("td").nth(1)).to_contain_text("refused")
    await order(Promote(SENTIMENT, "v1", "production", 1.0))
    await order(Promote(SENTIMENT, "v2", "canary", 1.0, 0.5))
    await bank.tell(reviews(40))
    await expect(version("v1").locator("td").nth(1)).to_have_text("production")
    await expect(version("v2").locator("td").nth(1)).to_have_text("canary, 50%")
    predictions = [version(name).locator("td").nth(2) for name in ("v1", "v2")]
    await bank.until_answer("/api/models", lambda told: sum(counts(told).values()) == 40)
    found = counts((await bank.get("/api/models"))[1])
    for cell, name in zip(predictions, ("v1", "v2"), strict=True):
        assert found[name] > 0
        await expect(cell).to_have_text(str(found[name]))
    await expect(version("v2").locator("td").nth(3)).to_have_text("100.0%")

    await order(Promote(SENTIMENT, "v2", "production", 2.0))
    await expect(version("v2").locator("td").nth(1)).to_have_text("production")
    assert await order(Rollback(SENTIMENT, 3.0, "customers complained")) == (200, "v2 back to v1")
    await expect(version("v1").locator("td").nth(1)).to_have_text("production")
    await expect(page.locator("section ul.alerts li").first).to_contain_text("v2 back to v1")


def counts(told: Any) -> dict[str, int]:
    return {one["version"]: one["quality"]["predictions"] for one in told[SENTIMENT]["versions"]}
