"""The drawing: it says what flows, leads on, and can be looked at in part."""

from __future__ import annotations

from playwright.async_api import Page, expect


async def test_what_flows_is_drawn_and_leads_on(page: Page) -> None:
    await page.goto("/topology")
    agent = page.locator('[data-node="agent:app.agents.fraud.fraud"]')
    await expect(agent.locator(".now")).to_contain_text("/s")
    await expect(page.locator('tr[data-agent="app.agents.fraud.fraud"] .waits')).to_have_text("nothing")
    await agent.click()
    await expect(page.get_by_role("heading", level=2, name="agent app.agents.fraud.fraud")).to_be_visible()
    names = await page.locator(".topology .name").all_text_contents()
    assert {"transactions", "alerts", "minutes", "profiles"} <= set(names)
    assert "reviews" not in names
    await expect(page.locator('a:has([data-node="table:profiles"])')).to_have_attribute("href", "/tables/profiles")


async def test_part_of_it_by_name(page: Page, provoked: list[str]) -> None:
    provoked += ["status of 404"]
    await page.goto("/topology")
    await page.get_by_label("Around").fill("reviews")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=2, name="topic reviews")).to_be_visible()
    await page.goto("/topology?around=nobody")
    await expect(page.get_by_text("There is nothing named nobody.")).to_be_visible()
