"""Faust's web server, behind our guard."""

# pyright: basic
# Faust and mode are only partly typed; mypy checks this module strictly all the same.
from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from faust.web.drivers.aiohttp import Web as AiohttpWeb

from pelton.console.logged import RecentErrors
from pelton.console.routes import mount
from pelton.console.surroundings import CONSOLE, Console
from pelton.shell.guard import check_bind, guard, harden
from pelton.shell.json_logs import where
from pelton.shell.viewing import ConsoleWorker

if TYPE_CHECKING:
    from pelton.shell.app import App

__all__ = ["Web"]


class Web(AiohttpWeb):
    """The web server of a worker: every request passes `pelton.shell.guard` before it reaches a page."""

    def __init__(self, app: App, **options: Any) -> None:
        super().__init__(cast(Any, app), **options)
        self._token = app.web_token
        self.web_app.middlewares.insert(0, guard(self._token, app.config.web_body_bytes_max, app.signed_paths))
        self.web_app.on_response_prepare.append(harden)
        #: What the console's pages stand in, and the application's, where they have the console's frame.
        sessions = self._token.sessions if self._token is not None else None
        self.console = Console(ConsoleWorker(app), RecentErrors(where), sessions, app.links, app.cards)
        self.web_app[CONSOLE] = self.console
        self._mounted = False

    def init_server(self) -> None:
        """Add the console's pages behind the application's, and in front of Faust's own. Faust calls it twice."""
        if not self._mounted:
            mount(self.web_app, self.console)
            self._mounted = True
        super().init_server()

    async def start_server(self) -> None:
        """Start to listen. Raises: ConfigurationError when that would be to others, without a token."""
        if self.app.conf.web_transport.scheme == "tcp":
            check_bind(self.app.conf.web_bind, self._token)
        await super().start_server()

    async def read_request_content(self, request: Any) -> bytes:
        """Return the body, which the guard has read; Faust's own would read past every limit."""
        return cast(bytes, await request.read())
