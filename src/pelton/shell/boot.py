"""What a worker starts: the sensors, the web server and our engine, and nothing of Faust's own."""

# pyright: basic
# Faust and mode are only partly typed; mypy checks this module strictly all the same.
from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

from faust.app.base import BootStrategy

from pelton.shell.pausing import serve_agents
from pelton.shell.probes import serve_probes
from pelton.shell.serving import serve_tables

if TYPE_CHECKING:
    from pelton.shell.app import App

__all__ = ["EngineBoot"]


class EngineBoot(BootStrategy):
    """Starts sensors, the web server and our engine, and nothing of Faust's own."""

    def server(self) -> Iterable[Any]:
        """Return the services of a worker, in the order they start; they stop the other way round."""
        app = cast("App", self.app)
        serve_probes(app)
        serve_agents(app)
        serve_tables(app)
        return [*self.sensors(), *self.web_server(), app.engine]

    def make_directories(self) -> None:
        """Make the directories of a worker."""
        app = cast(Any, self.app)
        app.conf.datadir.mkdir(parents=True, exist_ok=True)  # Faust would not make those above it
        app._create_directories()

    def client_only(self) -> Iterable[Any]:
        """Return the services of a client that only asks: none, for requests open the log themselves."""
        return []

    def producer_only(self) -> Iterable[Any]:
        """Return the services of a program that only sends."""
        return list(self.web_server())
