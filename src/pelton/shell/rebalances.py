"""Tells the program's signals which partitions this worker has, after each rebalance."""

# pyright: basic
# Faust's signals are not typed; mypy checks this module strictly all the same.
from __future__ import annotations

from typing import TYPE_CHECKING

from pelton.batch import TopicPartition

if TYPE_CHECKING:
    from pelton.shell.app import App

__all__ = ["Rebalances"]


class Rebalances:
    """Sends `on_partitions_revoked`, `on_partitions_assigned` and `on_rebalance_complete`, in this order.

    What left has been committed and let go of already; what came may still be restored.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self._owned: frozenset[TopicPartition] = frozenset()

    async def assigned(self, numbers: frozenset[int]) -> None:
        """Take the partition numbers that this worker has from now on."""
        app = self._app
        runtime = app.runtime
        assert runtime is not None
        owned = frozenset(
            TopicPartition(topic, number)
            for topic in runtime.program.sources()
            for number in numbers
            if number < runtime.counts[topic]
        )
        gone, self._owned = self._owned - owned, owned
        if gone:
            await app.on_partitions_revoked.send(set(gone))
        await app.on_partitions_assigned.send(set(owned))
        await app.on_rebalance_complete.send()
