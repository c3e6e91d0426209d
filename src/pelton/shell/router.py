"""Which worker has a key: what `@app.table_route`, `@app.topic_route` and the pages under /router/ ask."""

# pyright: basic
# Faust's router is only partly typed; mypy checks this module strictly all the same.
from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import aiohttp
from faust.app.router import Router as FaustRouter
from faust.web.exceptions import ServiceUnavailable
from yarl import URL

from pelton.log.partitioner import partition_for

if TYPE_CHECKING:
    from pelton.shell.app import App

__all__ = ["Router"]

#: How long the worker that has a key may take to answer for it.
_ANSWER_S = 30.0


class Router(FaustRouter):
    """Finds the worker of a key by its partition number, as the group last agreed.

    Faust's own asks its assignor, and hashes the key as the changelog writes it, which is not always how the records
    were partitioned.
    """

    def __init__(self, app: Any) -> None:
        self.app = app
        self._app = cast("App", app)

    def key_store(self, table_name: str, key: Any) -> URL:
        """Return the address of the worker that has a key of a table. Raises: KeyError when nobody has it now."""
        table = self._app.tables[table_name]
        table = getattr(table, "table", table)  # what is behind a windowed one
        if table.replicated:
            return self._here()
        return self._worker_of(table.partition_of(key))

    def external_topic_key_store(self, topic: Any, key: Any) -> URL:
        """Return the address of the worker that processes a key of a topic. Raises: KeyError."""
        runtime = self._app.runtime
        if runtime is None:
            raise KeyError(key)
        return self._worker_of(partition_for(topic.prepare_key(key), runtime.counts[topic.get_topic_name()]))

    def table_metadata(self, table_name: str) -> Any:
        """Return worker -> changelog topic -> partition numbers, for one table."""
        table = self._app.tables[table_name]
        topic = getattr(table, "table", table).changelog_topic_name
        return {worker: {topic: numbers} for worker, numbers in self._numbers(topic).items()}

    def tables_metadata(self) -> Any:
        """Return worker -> changelog topic -> partition numbers, for all tables."""
        found: dict[str, dict[str, list[int]]] = {}
        for name in self._app.tables:
            for worker, topics in self.table_metadata(name).items():
                found.setdefault(worker, {}).update(topics)
        return found

    def external_topics_metadata(self) -> Any:
        """Return worker -> topic -> partition numbers, for the topics of the agents."""
        runtime = self._app.runtime
        found: dict[str, dict[str, list[int]]] = {}
        for topic in runtime.program.sources() if runtime is not None else ():
            for worker, numbers in self._numbers(topic).items():
                found.setdefault(worker, {})[topic] = numbers
        return found

    async def _route_req(self, dest_url: URL, web: Any, request: Any) -> Any:
        """Return another worker's answer. Raises: ServiceUnavailable when it does not answer, or is gone."""
        try:
            async with asyncio.timeout(_ANSWER_S):
                return await super()._route_req(dest_url, web, request)
        except (aiohttp.ClientError, TimeoutError) as error:
            # The group takes it for alive until its session is over; until then nobody has its keys.
            raise ServiceUnavailable(
                f"the worker at {dest_url} that has this key does not answer: try again"
            ) from error

    def _numbers(self, topic: str) -> dict[str, list[int]]:
        runtime = self._app.runtime
        if runtime is None:
            return {}
        count = runtime.counts[topic]
        return {
            member.address: sorted(number for number in member.tasks if number < count)
            for member in runtime.members()
            if member.address
        }

    def _here(self) -> URL:
        return URL(str(self._app.conf.canonical_url))

    def _worker_of(self, number: int) -> URL:
        runtime = self._app.runtime
        if runtime is not None:
            if number in runtime.partitions:
                return self._here()
            for member in runtime.members():
                if number in member.tasks and member.address:
                    return URL(f"http://{member.address}")
        raise KeyError(number)
