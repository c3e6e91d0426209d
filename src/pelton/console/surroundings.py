"""What the pages stand in: the worker they tell of, the links between them, and who may change something.

A handler finds all of it as `request.app[CONSOLE]`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from aiohttp import web

from pelton.console.cards import HomeCard
from pelton.console.history import History
from pelton.console.logged import RecentErrors
from pelton.console.sessions import Sessions
from pelton.console.worker import Worker

__all__ = ["CONSOLE", "LINKS", "Console", "Link", "Worker"]


@dataclass(frozen=True, slots=True)
class Link:
    """A page in the navigation. path: its address. name: what is shown."""

    path: str
    name: str


#: The console's own pages, in the order of the links.
LINKS = (
    Link("/console", "Home"),
    Link("/topology", "Topology"),
    Link("/tables", "Tables"),
    Link("/topics", "Topics"),
    Link("/dlq", "Dead letters"),
    Link("/sql", "SQL"),
)


@dataclass(slots=True)
class Console:
    """All that the pages stand in.

    sessions: None without a token; then nothing can be changed. links, cards: the application's own pages and
    cards, in their order. errors: what was logged. history: the last minutes.
    home: where Home is, which is not `/` when the application has a page of its own there. stopping: set when the web
    server ends; whatever sends without end listens to it. tails: who watches a topic.
    """

    worker: Worker
    errors: RecentErrors
    sessions: Sessions | None = None
    links: list[Link] = field(default_factory=list[Link])
    cards: list[HomeCard] = field(default_factory=list[HomeCard])
    home: str = "/"
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    tails: set[object] = field(default_factory=set[object])
    history: History = field(init=False)

    def __post_init__(self) -> None:
        self.history = History(self.worker)


CONSOLE: web.AppKey[Console] = web.AppKey("pelton_console", Console)
