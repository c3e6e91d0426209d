"""The producer of the soak: each partition's events at a steady rate, in order, sent again until acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from pelton.batch import OutgoingBatch, TopicPartition
from pelton.errors import UnavailableError
from tests.chaos.events import event
from tests.kill.kill_oracle import PARTITIONS
from tests.kill.kill_process import Scene

_PRODUCE_S = 0.1
#: What an outage has held back comes in portions of so many events a partition.
_PORTION = 500


class Producer:
    """Sends what a seed gives, at a rate in events a second.

    sent: partition -> how many of its events are acknowledged; kept up, and read by others.
    """

    def __init__(self, scene: Scene, seed: int, rate: float, say: Callable[[str], None]) -> None:
        self.sent = dict.fromkeys(scene.sources, 0)
        self._scene = scene
        self._seed = seed
        self._rate = rate
        self._say = say

    async def produce(self) -> None:
        """Send each partition its events until cancelled."""
        begun_s = asyncio.get_running_loop().time()
        while True:
            due = int((asyncio.get_running_loop().time() - begun_s) * self._rate / PARTITIONS)
            await self.send({source: min(due, sent + _PORTION) for source, sent in self.sent.items()})
            await asyncio.sleep(_PRODUCE_S)

    async def send(self, until: Mapping[TopicPartition, int]) -> None:
        """Send each partition its events up to a number; those that no broker acknowledges are sent again."""
        batches: list[OutgoingBatch] = []
        for source, end in until.items():
            batch = OutgoingBatch(*source)
            for sequence in range(self.sent[source], end):
                batch.append(*event(self._seed, source.partition, sequence), 0)
            batches.append(batch)
        while True:
            try:
                await self._scene.log.append([batch for batch in batches if len(batch)])
                self.sent.update(until)
                return
            except UnavailableError as error:
                self._say(f"the producer sends again: {error.message}")
