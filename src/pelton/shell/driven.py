"""An application that is driven by a test: the same application, engine and tasks, without a machine under it.

An application is a module's global, and its services, its log and its clock hang on it. `Stage` sets all of that aside,
lets the application live on another log, store and clock, one life after the other, and puts back what was there.
"""

# pyright: basic
# Faust and mode are only partly typed; mypy checks this module strictly all the same.
from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, cast

from mode import Service

from pelton.clock import Clock
from pelton.console.routes import mount
from pelton.errors import ConfigurationError
from pelton.log.contract import Log
from pelton.runtime.runtime import Runtime
from pelton.shell.app import App
from pelton.shell.boot import EngineBoot
from pelton.shell.engine import Engine
from pelton.shell.program import Forwarding
from pelton.shell.sender import Sender
from pelton.state.contract import StoreFactory

__all__ = ["Stage"]

_MARK = "_driven"


class _DrivenBoot(EngineBoot):
    """Starts the engine alone: no web server listens, and no directory is made."""

    def server(self) -> Iterable[Any]:
        return [cast(App, self.app).engine]

    def make_directories(self) -> None:
        pass


class _DrivenEngine(Engine):
    """The engine without a machine: no watchdog, no file that says who is here, and stores that a test keeps."""

    def __init__(self, app: App, stores: StoreFactory) -> None:
        super().__init__(app)
        self._given = stores

    def _settle_in(self) -> None:
        pass

    def _name(self) -> str:
        return "driven"

    def _stores(self) -> StoreFactory:
        return self._given

    def _trace(self, name: str) -> None:
        pass  # a test that wants spans has set `app.tracing` itself

    async def _end_trace(self) -> None:
        pass

    def _watch_over(self, runtime: Runtime) -> None:
        pass


class Stage:
    """Where an application is driven; at most one at a time, until `leave`. Raises: ConfigurationError."""

    def __init__(self, app: App) -> None:
        if getattr(app, _MARK, False):
            raise ConfigurationError(
                f"application {app.conf.id} is being driven already",
                hint="close the other driver first, or use it: `with Driver(app) as driver`",
            )
        if app.started:
            raise ConfigurationError(
                f"application {app.conf.id} is running", hint="a driver runs it itself: do not start it"
            )
        self.app = app
        self._before: dict[str, Any] = dict(vars(app))
        if cast(Any, app.conf).autodiscover:
            app.discover()
        self._before["declared_topics"] = list(app.declared_topics)
        self._channels = [(channel, dict(vars(channel))) for channel in app.declared_channels]
        setattr(app, _MARK, True)

    def enter(self, log: Log, stores: StoreFactory, clock: Clock, another_log: Callable[[], Log]) -> None:
        """Begin a life: within the loop that it is to have. another_log: makes more connections to the same log."""
        app: Any = self.app
        Service.__init__(app)  # its events and children: those it has may belong to another loop
        app.restart_count = 0
        app.boot_strategy = _DrivenBoot(app)
        app.sensors = type(app.sensors)(app)
        app._monitor = None
        app._extra_service_instances = None
        app.clock = clock
        app.declared_topics = list(self._before["declared_topics"])
        app.repartition = Forwarding(app)
        app.sender = Sender(lambda: app.log_connection, app._layout, lambda: app.tracing)
        app._replies = app._peers = None
        app._log = log
        app.another_log = another_log
        app.engine = _DrivenEngine(app, stores)
        for channel, before in self._channels:
            channel.queue = asyncio.Queue(before["queue"].maxsize)

    def web_application(self) -> Any:
        """Return the application's pages and the console's, behind the guard: an aiohttp application, not started."""
        app: Any = self.app
        web = app._new_web()
        for view in self._before["web"].views.values() if "web" in self._before else ():
            web.add_view(type(view))
        mount(web.web_app, web.console)
        app.web = web
        return web.web_app

    def leave(self) -> None:
        """Put back what was there. Idempotent."""
        if not getattr(self.app, _MARK, False):
            return
        vars(self.app).clear()
        vars(self.app).update(self._before)
        for channel, before in self._channels:
            vars(channel).update(before)
