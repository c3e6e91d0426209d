"""The web view from the shell's side: what its pages may ask of the worker, and what an application adds to them."""

# pyright: basic
# Faust is only partly typed; mypy checks this module strictly all the same.
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pelton.clock import Clock
from pelton.console.cards import HomeCard, HomeLine
from pelton.console.graph import Graph
from pelton.console.surroundings import Link
from pelton.errors import ConfigurationError
from pelton.log.contract import MemberInfo
from pelton.metrics.lag import PartitionLag
from pelton.runtime.statistics import RuntimeStatistics
from pelton.runtime.watchdog import Health
from pelton.shell.browsing import Browsing
from pelton.shell.guard import web_address
from pelton.shell.topology import graph_of
from pelton.web.letters_api import LetterApi
from pelton.web.topics_api import TopicApi

if TYPE_CHECKING:
    from pelton.shell.app import App

__all__ = ["ConsoleWorker", "Viewing"]

_Lines = Callable[[], Sequence[HomeLine]]


class ConsoleWorker:
    """The worker of an application, as the pages see it: `pelton.console.surroundings.Worker`."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._browsing: Browsing | None = None
        self._graph: Graph | None = None

    @property
    def topics(self) -> TopicApi:
        """What answers questions about topics."""
        return self._browse().topics

    @property
    def letters(self) -> LetterApi:
        """What answers questions about dead letters."""
        return self._browse().letters

    async def close(self) -> None:
        """Let go of the log that the pages have opened."""
        if self._browsing is not None:
            await self._browsing.close()

    def _browse(self) -> Browsing:
        if self._browsing is None:
            self._browsing = Browsing(self._app)
        return self._browsing

    @property
    def app_id(self) -> str:
        """The application's id."""
        return str(self._app.conf.id)

    @property
    def address(self) -> str:
        """Where other workers reach this one."""
        return web_address(self._app.conf)

    @property
    def clock(self) -> Clock:
        """The application's clock."""
        return self._app.clock

    def statistics(self) -> RuntimeStatistics | None:
        """Return the engine's counters; None before it started."""
        return self._app.statistics()

    def health(self) -> Health:
        """Return what the watchdog thinks of this worker."""
        return self._app.engine.health

    def waiting(self) -> Sequence[str]:
        """Return what this worker waits for before it is ready."""
        return self._app.engine.waiting()

    def lags(self) -> Sequence[PartitionLag]:
        """Return how far each partition is behind that runs here."""
        return self._app.engine.lags()

    def members(self) -> Sequence[MemberInfo]:
        """Return all workers, as the group knows them."""
        runtime = self._app.runtime
        return runtime.members() if runtime is not None else ()

    def partition_count(self) -> int:
        """Return how many partition numbers there are."""
        runtime = self._app.runtime
        return max((runtime.counts[topic] for topic in runtime.program.sources()), default=0) if runtime else 0

    @property
    def queue_bytes_max(self) -> int:
        """How much may wait in front of all agents."""
        return self._app.config.task_queue_bytes_max

    def graph(self) -> Graph | None:
        """Return the topology; made once, for it follows from the program."""
        if self._graph is None and self._app.runtime is not None:
            self._graph = graph_of(self._app, self._app.runtime.program)
        return self._graph

    async def ask_peer(self, address: str, path: str) -> bytes:
        """Return what another worker answers with. Raises: UnavailableError."""
        return await self._app.peers().get(address, path)


class Viewing:
    """The part of an application that adds to the web view."""

    #: The application's own pages, in the order of the links, and its cards on Home.
    links: list[Link]
    cards: list[HomeCard]

    def page_link(self, path: str, name: str) -> None:
        """Put a page of the application among the links of every page.

        path: its address, as in `@app.page`. name: what is shown. Raises: ConfigurationError.
        """
        if not path.startswith("/") or path.startswith("//"):
            raise ConfigurationError(
                f"page_link: expected an address of this server, got {path!r}", hint="write it as in @app.page"
            )
        if any(link.path == path for link in self.links):
            raise ConfigurationError(f"page_link: {path} is among the links already")
        self.links.append(Link(path, name))

    def home_card(self, title: str, path: str = "") -> Callable[[_Lines], _Lines]:
        """Put a card on Home: its lines are what the function returns, as `pelton.HomeLine`s, latest first.

        path: the page that tells more. The function is called about once a second while somebody looks, on each worker,
        and tells what that worker knows; Home shows the latest lines of all. What it raises is shown in their place.
        """

        def decorate(lines: _Lines) -> _Lines:
            self.cards.append(HomeCard(title, path, lines))
            return lines

        return decorate
