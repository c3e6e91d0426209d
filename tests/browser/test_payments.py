"""What is found in payments, as people look at it: an account and its alerts, live analytics, and anomalies."""

from __future__ import annotations

import re

from playwright.async_api import Page, expect

from tests.browser.links import follow
from tests.browser.scene import PAYMENTS, Scene


async def test_an_account_is_found_by_its_alert(page: Page, bank: Scene) -> None:
    alerts = (await bank.get("/alerts?limit=25"))[1]["alerts"]
    alert = next(one for one in alerts if one["account"].startswith("acc-"))
    await page.goto("/payments")
    await expect(page.locator("#alerts > li")).to_have_count(len(alerts))
    await page.locator("#alerts").get_by_role("button", name=alert["account"]).first.click()
    await expect(page.get_by_label("Account id")).to_have_value(alert["account"])
    found = page.locator("#found")
    told = (await bank.get(f"/api/account?id={alert['account']}"))[1]
    await expect(found).to_contain_text(f"{told['payments']} payments seen, usually {told['typical_amount']:.2f}")
    await expect(found.get_by_role("img").locator("rect")).to_have_count(len(told["windows"]))
    await expect(found.locator("ul.alerts > li")).to_have_count(len(told["alerts"]))
    await page.get_by_label("Account id").fill("acc-nobody")
    await page.get_by_role("button", name="Show").click()
    await expect(found).to_have_text("Nothing is known of account acc-nobody.")


async def test_analytics_tell_of_all_and_of_one(page: Page, bank: Scene) -> None:
    told = (await bank.get("/api/analytics"))[1]
    traffic = told["traffic"]
    assert 0 < traffic["count"] <= 2 * PAYMENTS
    await page.goto("/analytics")
    await expect(page.locator("#count")).to_have_text(f"{traffic['count']:,}")
    await expect(page.locator("#cases > li")).to_have_count(len(told["cases"]))
    await expect(page.locator("#quality tbody tr")).to_have_count(len(told["quality"]))
    merchant = traffic["top"]["merchant"][0]["name"]
    await follow(page.locator("#merchant").get_by_role("link", name=merchant, exact=True))
    await expect(page.locator("#minutes-of")).to_have_text(f"Only of the merchant {merchant}.")
    await follow(page.get_by_role("link", name="Show all"))
    await expect(page.locator("#minutes-of")).to_have_text("All payments.")


async def test_a_person_says_whether_an_anomaly_is_right(page: Page, bank: Scene) -> None:
    told = await bank.until_answer("/api/anomalies", lambda told: told["alerts"])
    counted = sum(one["alerts_right"] for one in told["counts"])
    await page.goto("/anomalies")
    await expect(page.locator("#told")).to_have_text("There is no model: statistics select and judge.")
    first = page.locator("#alerts > li").first
    await expect(first).to_contain_text("payment of ")
    right = first.get_by_role("button", name=re.compile("is right$"))
    await right.click()
    await expect(right).to_have_attribute("aria-pressed", "true")
    await bank.until_answer(
        "/api/anomalies", lambda told: sum(one["alerts_right"] for one in told["counts"]) == counted + 1
    )
    await page.reload()
    await expect(first.get_by_role("button", name=re.compile("is right$"))).to_have_attribute("aria-pressed", "true")
    shown = await page.locator("#counts tr td:nth-child(5)").all_text_contents()
    assert sum(map(int, shown)) == counted + 1
