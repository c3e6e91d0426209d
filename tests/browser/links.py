"""Links the way a visitor follows them: what comes next is done on a page whose scripts have begun."""

from __future__ import annotations

from playwright.async_api import Locator

__all__ = ["follow"]


async def follow(link: Locator) -> None:
    """Click, and return when the next page has loaded: Playwright itself waits only until its address is known."""
    async with link.page.expect_event("load"):
        await link.click()
