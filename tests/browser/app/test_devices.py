"""What devices tell, as the page of devices shows it: last values, minutes, late readings, and what is wrong."""

from __future__ import annotations

import time
from collections.abc import Sequence
from uuid import uuid4

from playwright.async_api import Page, expect

from app.models import Reading
from pelton.log.partitioner import partition_for
from tests.browser.app.conftest import Application, Told

#: Readings that a detector only learns from, and some more.
LEARNED = 520


def reading(device: str, ts: float, arrives: float | None = None, **values: float) -> Told:
    return (
        "readings",
        device,
        Reading(device, ts, values or {"temperature_c": 21.0}),
        ts if arrives is None else arrives,
    )


def neighbours(number: int) -> Sequence[str]:
    """Return names of devices that share a partition."""
    found = (name for name in (f"atm-{uuid4().hex[:8]}" for _ in range(1_000)) if not partition_for(name.encode(), 4))
    return [next(found) for _ in range(number)]


async def test_the_last_value_is_that_of_the_latest_time_and_late_ones_are_counted(
    page: Page, bank: Application
) -> None:
    (device,) = neighbours(1)
    begin = time.time() // 60 * 60 - 120
    await bank.tell(
        [
            reading(device, begin + 70, temperature_c=22.5, voltage_v=231.0),
            reading(device, begin + 10, begin + 71, temperature_c=19.0),
            reading(device, begin + 20, begin + 72, temperature_c=20.0),
        ]
    )
    await page.goto("/devices/page")
    name = page.get_by_role("button", name=device)
    mine = page.locator("#devices > li", has=name)
    await expect(mine).to_contain_text("3 readings, 2 late")
    await expect(mine).to_contain_text("temperature_c 22.5, voltage_v 231")
    await name.click()
    await expect(page.locator("#device-title")).to_have_text(f"Minutes of {device}")
    minutes = page.locator("#minutes > li")
    await expect(minutes).to_have_count(2)
    await expect(minutes.first).to_contain_text("1 reading, not final")
    await expect(minutes.last).to_contain_text("2 readings, not final")
    await expect(minutes.last).to_contain_text("temperature_c 19.5 (19 to 20)")


async def test_who_is_silent_is_missing_until_it_is_back(page: Page, bank: Application) -> None:
    silent, other = neighbours(2)
    begin = time.time() - 90
    await bank.tell([reading(silent, begin), reading(other, begin + 61)])
    await page.goto("/devices/page")
    mine = page.locator("#devices > li", has=page.get_by_role("button", name=silent))
    await expect(mine.locator(".rule")).to_have_text("missing")
    await expect(page.locator("#alerts > li", has_text=silent)).to_contain_text("not heard of since")
    await bank.tell([reading(silent, time.time())])
    await expect(mine.locator(".rule")).to_have_count(0)
    await expect(mine).to_contain_text("2 readings, 0 late")


async def test_an_unusual_reading_is_told(page: Page, bank: Application) -> None:
    (device,) = neighbours(1)
    begin = time.time() - LEARNED / 10 - 10
    usual = [
        reading(device, begin + n / 10, temperature_c=20.0 + n % 5 / 10, voltage_v=230.0 + n % 7)
        for n in range(LEARNED)
    ]
    await bank.tell([*usual, reading(device, begin + LEARNED / 10, temperature_c=95.0, voltage_v=120.0)])
    await page.goto("/devices/page")
    mine = page.locator("#devices > li", has=page.get_by_role("button", name=device))
    await expect(mine).to_contain_text(f"{LEARNED + 1} readings, 0 late")
    await expect(mine.locator(".rule")).to_have_text("unusual")
    alert = page.locator("#alerts > li", has_text=device).filter(has_text="anomaly")
    await expect(alert).to_contain_text("temperature_c 95, voltage_v 120")
