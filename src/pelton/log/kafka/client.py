# pyright: basic
# mypy: disable-error-code="misc, no-untyped-call"
"""aiokafka's client, with two things mended.

It goes back to the bootstrap addresses when no broker that it knows answers: where all of them have moved, nobody else
can tell where they are now (KIP-899). And no connection outlives it: one that is being made while the client is closed
would come into being behind its back, and stay.
"""

from __future__ import annotations

import logging
from typing import Any

from pelton.log.kafka.aio import AIOKafkaClient, KafkaConnectionError

__all__ = ["Client"]

log = logging.getLogger(__name__)
_CLOSED = "the connection to Kafka is closed"


class Client(AIOKafkaClient):
    """Connections to all brokers of a cluster."""

    _shut = False

    async def _get_conn(self, node_id: Any, **options: Any) -> Any:
        if self._shut:
            raise KafkaConnectionError(_CLOSED)
        connection = await super()._get_conn(node_id, **options)
        if self._shut and connection is not None:
            await connection.close()
            raise KafkaConnectionError(_CLOSED)
        return connection

    async def _metadata_update(self, cluster_metadata: Any, topics: Any) -> bool:
        if await super()._metadata_update(cluster_metadata, topics):
            return True
        if self._shut:
            return False
        try:
            await self.bootstrap()
        except KafkaConnectionError:
            return False
        log.info("no broker that was known answers: asked %s where they are now", self.hosts)
        return bool(await super()._metadata_update(cluster_metadata, topics))

    async def close(self) -> None:
        """Close all connections, those too that are being made."""
        self._shut = True
        await super().close()
