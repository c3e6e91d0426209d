"""What a browser finds wrong with a page: errors, warnings, violations of the policy, requests to elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from playwright.async_api import ConsoleMessage, Page, Request

__all__ = ["Complaints"]


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
