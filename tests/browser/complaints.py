"""Browsers and pages for tests, and what a browser finds wrong with a page: errors, warnings, requests to elsewhere."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Request

from tests.patience import PATIENCE_S

__all__ = ["Complaints", "faultless_page", "new_visitor"]


class Complaints:
    """Listens to a page."""

    def __init__(self, page: Page) -> None:
        self.found: list[str] = []
        page.on("console", self._message)
        page.on("pageerror", lambda error: self.found.append(f"error: {error}"))
        page.on("request", self._request)
        page.on("dialog", lambda dialog: self.found.append(f"dialog: {dialog.message}"))

    def _message(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.found.append(f"{message.type}: {message.text} ({message.location})")

    def _request(self, request: Request) -> None:
        if not request.url.startswith(("http://127.0.0.1:", "data:")):
            self.found.append(f"asks elsewhere: {request.url}")

    def expect_none_but(self, provoked: Sequence[str]) -> None:
        """Raise AssertionError when there was any. provoked: parts of messages that the test itself provokes."""
        left = [one for one in self.found if not any(part in one for part in provoked)]
        assert left == []


@asynccontextmanager
async def new_visitor(browser: Browser, base_url: str | None = None) -> AsyncIterator[BrowserContext]:
    """Give a browser that has never been here, and is patient."""
    context = await browser.new_context(base_url=base_url)
    context.set_default_timeout(PATIENCE_S * 1000)
    try:
        yield context
    finally:
        await context.close()


@asynccontextmanager
async def faultless_page(visitor: BrowserContext, provoked: Sequence[str] = ()) -> AsyncIterator[Page]:
    """Give a page that must have neither errors nor violations of the policy when the block ends.

    provoked: as of `Complaints.expect_none_but`, and when the block ends.
    """
    page = await visitor.new_page()
    complaints = Complaints(page)
    yield page
    complaints.expect_none_but(provoked)
