"""This worker's stores: one for each partition number that it has or had, and one for the global tables."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from pelton.errors import StateCorruptedError
from pelton.runtime.facts import FACTS_TABLE, settle_facts
from pelton.runtime.replicated import position_table
from pelton.runtime.spec import TableSpec
from pelton.runtime.threads import in_thread
from pelton.runtime.topics import Topics
from pelton.state.contract import Store, StoreFactory

__all__ = ["REPLICATED", "LocalStores"]

logger = logging.getLogger(__name__)

#: The store number of the global tables; partitions begin at 0.
REPLICATED = -1


class LocalStores:
    """The stores in one directory; those that were opened stay open until somebody closes them.

    directory: where they are kept. app_id: whose they must be. changed: called when one more is open.
    """

    def __init__(
        self, factory: StoreFactory, directory: Path, app_id: str, topics: Topics, changed: Callable[[], None]
    ) -> None:
        self.opened: dict[int, Store] = {}
        self._factory = factory
        self._directory = directory
        self._app_id = app_id
        self._topics = topics
        self._changed = changed

    async def kept(self) -> frozenset[int]:
        """Return the partition numbers that the directory has stores of, and delete what nobody uses any more."""
        await in_thread(self._factory.tidy, self._directory)
        held = await in_thread(self._factory.held, self._directory)
        return frozenset(number for number in held if number != REPLICATED)

    async def of(self, number: int) -> Store:
        """Return the store of a partition number; one that is open already is taken as it is.

        Raises: StateCorruptedError, UnavailableError.
        """
        store = self.opened.get(number)
        if store is None:
            store = await in_thread(self._open, number, self._topics.tables(number).values())
            self._changed()
        return store

    def _open(self, number: int, tables: Collection[TableSpec]) -> Store:
        """Open a store and note it, in one step: where its partition leaves meanwhile, it must be found and closed."""
        names = [FACTS_TABLE, *(spec.name for spec in tables)]
        store = self.opened[number] = self._factory.open(self._directory, number, names)
        settle_facts(store, self._app_id, tables, self._topics.counts)
        return store

    async def of_global_tables(self, tables: Sequence[TableSpec]) -> Store:
        """Return the store of the global tables, anew when it is damaged; it is the caller's to close."""
        counts = self._topics.counts
        marks = {
            spec.name: [position_table(spec.name, n) for n in range(counts[spec.changelog.name])] for spec in tables
        }
        names = [FACTS_TABLE, *marks, *(mark for own in marks.values() for mark in own)]
        try:
            store = await in_thread(self._factory.open, self._directory, REPLICATED, names)
        except StateCorruptedError as error:
            logger.error("the store of the global tables is discarded and restored: %s", error)
            await self.discard(REPLICATED)
            store = await in_thread(self._factory.open, self._directory, REPLICATED, names)
        try:
            settle_facts(store, self._app_id, tables, counts, marks)
        except BaseException:
            await in_thread(store.close)
            raise
        return store

    async def close(self, number: int) -> None:
        """Close a store if it is open."""
        store = self.opened.pop(number, None)
        if store is not None:
            await in_thread(store.close)

    async def close_all_but(self, keep: Collection[int]) -> None:
        """Close all stores but these, at the same time: each writes what it has in memory, table by table."""
        await asyncio.gather(*(self.close(number) for number in list(self.opened) if number not in keep))

    async def discard(self, number: int) -> None:
        """Close a store and delete it: it will be restored from the changelog."""
        await self.close(number)
        await in_thread(self._factory.discard, self._directory, number)
