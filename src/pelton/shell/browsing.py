"""What the pages on topics and dead letters need of an application: its log, over connections of their own.

Who looks at records must not stand in the way of the engine: on Kafka, reads of one partition over one connection wait
for each other, and a read from another offset throws away what was read ahead for a restore.
"""

# pyright: basic
# Faust is only partly typed; mypy checks this module strictly all the same.
from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from pelton.log.contract import Log
from pelton.shell.known_topics import KnownTopics
from pelton.web.letters_api import LetterApi
from pelton.web.topics import TopicBook
from pelton.web.topics_api import TopicApi

if TYPE_CHECKING:
    from pelton.shell.app import App

__all__ = ["Browsing"]


class Browsing:
    """An application's topics and dead letters, for its pages. Its connection is opened when it is needed first."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._log: Log | None = None
        self._opening = asyncio.Lock()
        book = TopicBook(self.log, KnownTopics(app), app.clock)
        self.topics = TopicApi(book, app.config.record_bytes_max)
        self.letters = LetterApi(book, str(app.conf.id), self.own_log)

    async def log(self) -> Log:
        """Return a connection that only the pages use. Raises: UnavailableError."""
        async with self._opening:
            if self._log is None:
                log = self._app.another_log()
                await log.open()
                self._log = log
            return self._log

    @asynccontextmanager
    async def own_log(self) -> AsyncGenerator[Log]:
        """Give a connection for a while; what joins a group leaves it with the connection."""
        log = self._app.another_log()
        await log.open()
        try:
            yield log
        finally:
            await log.close()

    async def close(self) -> None:
        """Let go of the log. Idempotent."""
        log, self._log = self._log, None
        if log is not None:
            await log.close()
