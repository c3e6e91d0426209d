"""Deleting what nobody will read again: the records of topics for repartitioning, once this application is past them.

Such topics keep their records for ever, because by any retention those of old events might go before they are read.
Without this they would hold a copy of all that ever went through them.

Source: Kafka Streams' repartition.purge.interval.ms (KIP-811).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from pelton.batch import TopicPartition
from pelton.clock import Clock
from pelton.errors import PeltonError
from pelton.log.contract import Log, Position
from pelton.runtime.spec import Program

__all__ = ["Purge"]

logger = logging.getLogger(__name__)

_EVERY_S = 30.0


class Purge:
    """What of a program's topics may go, and its going."""

    def __init__(self, program: Program, log: Log, clock: Clock) -> None:
        sources = [source for agent in program.agents.values() for source in agent.sources.values()]
        self._topics = frozenset(source.topic.name for source in sources if source.purged)
        self._log = log
        self._clock = clock
        self._ends: dict[TopicPartition, int] = {}
        self._warned = False

    def committed(self, positions: Mapping[TopicPartition, Position]) -> None:
        """Note what is committed: no agent of the application reads anything before it again."""
        for source, position in positions.items():
            if source.topic in self._topics:
                self._ends[source] = position.offset

    async def run(self) -> None:
        """Delete from time to time."""
        while True:
            await self._clock.sleep(_EVERY_S, idle=True)
            await self.purge()

    async def purge(self) -> None:
        """Delete what was committed since the last time. Where the log refuses, records stay, and one line says so."""
        ends, self._ends = self._ends, {}
        if not ends:
            return
        try:
            await self._log.trim(ends)
        except PeltonError as error:
            self._ends = ends | self._ends
            if not self._warned:
                logger.warning("could not delete what was read of topics for repartitioning, so they grow: %s", error)
            self._warned = True
