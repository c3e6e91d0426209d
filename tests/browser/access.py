"""Whether everybody can read a page: axe-core's rules, of every weight, on light and on dark paper."""

from __future__ import annotations

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page

__all__ = ["expect_accessible"]


async def expect_accessible(page: Page) -> None:
    """Raise AssertionError when axe finds anything on the page as it is now."""
    await page.locator("#main").focus()  # a page that renews itself does not, while somebody is in it
    told: list[str] = []
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme)
        for fault in (await Axe().run(page)).response["violations"]:
            nodes = [(node["html"][:160], node["failureSummary"][:300]) for node in fault["nodes"][:3]]
            told.append(f"{scheme}, {fault['id']}: {nodes}")
    assert told == []
