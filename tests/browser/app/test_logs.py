"""What services log, as the page of logs shows it: found by service, level, time and text; and by templates."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from uuid import uuid4

import msgspec
from playwright.async_api import Page, expect

from app.models import RawLine
from tests.browser.app.conftest import Application, Told

MINUTE_S = 60.0


def clock(ts: float) -> str:
    """Return a time as a field of the form takes it."""
    return datetime.fromtimestamp(ts, UTC).strftime("%Y-%m-%dT%H:%M")


def line(service: str, ts: float, level: str, message: str) -> Told:
    text = msgspec.json.encode({"service": service, "ts": ts, "level": level, "msg": message, "pod": "a-1"}).decode()
    return "raw-logs", f"{service}.log", RawLine(text), ts + 0.5


async def test_lines_are_found_by_service_level_time_and_text(page: Page, bank: Application) -> None:
    ledger, mail = f"ledger-{uuid4().hex[:6]}", f"mail-{uuid4().hex[:6]}"
    begin = time.time() // MINUTE_S * MINUTE_S - 20 * MINUTE_S
    lines = [line(ledger, begin + 60 * minute, "info", f"booked {minute} in 7 ms") for minute in range(10)]
    lines.append(line(ledger, begin + 5 * MINUTE_S + 1, "error", "lost the database <b>db-1</b>"))
    lines.append(line(mail, begin + 5 * MINUTE_S + 2, "warning", "mail 17 was refused"))
    await bank.tell(lines)
    await page.goto("/logs/page")
    name = page.get_by_role("button", name=ledger, exact=True)
    mine = page.locator("#services > li", has=name)
    await expect(mine).to_contain_text("11 lines, 2 templates")

    found, told = page.locator("#lines > li"), page.locator("#told")
    search = page.get_by_role("button", name="Search")
    await page.get_by_label("Service", exact=True).fill(ledger)
    await search.click()
    await expect(told).to_contain_text("11 lines of ")
    await expect(found).to_have_count(11)
    await expect(found.first).to_contain_text("booked 9 in 7 ms")
    await expect(found.first).to_contain_text("pod=a-1")
    await page.get_by_label("From (UTC)").fill(clock(begin + 2 * MINUTE_S))
    await page.get_by_label("To (UTC)").fill(clock(begin + 6 * MINUTE_S))
    await search.click()
    await expect(found).to_have_count(5)
    await page.get_by_label("At least").select_option("error")
    await search.click()
    await expect(found).to_have_count(1)
    await expect(found).to_contain_text("lost the database <b>db-1</b>")
    await page.get_by_label("At least").select_option("info")
    await page.get_by_label("Service", exact=True).fill("")
    await page.get_by_label("Text").fill("REFUSED")
    await search.click()
    await expect(found).to_have_count(1)
    await expect(found).to_contain_text(mail)
    await page.get_by_label("Text").fill("nobody ever said this")
    await search.click()
    await expect(told).to_contain_text("0 lines of ")
    await expect(found).to_have_count(0)

    await name.click()
    await expect(page.locator("#templates-title")).to_have_text(f"What {ledger} says")
    await expect(page.locator("#templates > li", has_text="booked <*> in <*> ms")).to_contain_text("10 lines")
    await expect(page.locator("#templates > li", has_text="lost the database")).to_contain_text("1 lines")


async def test_what_is_new_and_what_bursts_is_told(page: Page, bank: Application) -> None:
    service = f"cards-{uuid4().hex[:6]}"
    begin = time.time() // MINUTE_S * MINUTE_S - 10 * MINUTE_S
    lines = [
        line(service, begin + 60 * minute + second, "info", f"read card {minute}{second}")
        for minute in range(7)
        for second in (1, 2)
    ]
    lines += [
        line(service, begin + 7 * MINUTE_S + second, "error", f"timeout of reader {second}") for second in range(8)
    ]
    await bank.tell(lines)
    await page.goto("/logs/page")
    alerts = page.locator("#alerts > li", has_text=service)
    await expect(alerts.filter(has_text="new template")).to_contain_text("says for the first time: timeout of reader")
    await expect(alerts.filter(has_text="burst")).to_contain_text("5 times in this minute")
    await expect(page.locator("#none")).to_be_hidden()
