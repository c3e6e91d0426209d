"""Sending from outside of agents: messages are gathered for a moment and appended as whole batches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from pelton.batch import OutgoingBatch, TopicPartition, record_bytes
from pelton.errors import RecordRefusedError, RecordTooLargeError
from pelton.log.contract import Log, TopicSpec
from pelton.log.partitioner import partition_for
from pelton.shell.topic import RecordMetadata
from pelton.stream.lane import Send

if TYPE_CHECKING:
    from pelton.tracing.tracer import Tracer

__all__ = ["Sender"]

#: Messages waiting to be appended; a sender waits beyond it.
_PENDING_MAX = 20_000


class Sender:
    """Appends messages in batches; each receipt is resolved when its message is durable.

    While one append is under way, what comes meanwhile is gathered for the next: one message alone goes at once, many
    go together.

    layout: how a topic that does not exist is to be made. tracing: where spans go, if anywhere.
    """

    def __init__(
        self,
        log: Callable[[], Log],
        layout: Callable[[str], TopicSpec],
        tracing: Callable[[], Tracer | None] = lambda: None,
    ) -> None:
        self._log = log
        self._tracing = tracing
        self._layout = layout
        self._counts: dict[str, int] = {}
        self._limits: Mapping[str, int] = {}
        self._pending: list[tuple[Send, asyncio.Future[RecordMetadata]]] = []
        self._turn = 0
        self._flusher: asyncio.Task[None] | None = None
        self._room = asyncio.Event()

    async def send(self, message: Send) -> asyncio.Future[RecordMetadata]:
        """Take a message; waits while too many are on their way."""
        while len(self._pending) >= _PENDING_MAX:
            self._room.clear()
            await self._room.wait()
        receipt: asyncio.Future[RecordMetadata] = asyncio.get_running_loop().create_future()
        if (tracing := self._tracing()) is not None:
            message = tracing.sending(message, receipt)
        self._pending.append((message, receipt))
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.create_task(self._flush(), name="pelton sender")
        return receipt

    async def flush(self) -> None:
        """Wait until everything taken so far is durable, or has failed."""
        while self._flusher is not None and not self._flusher.done():
            await asyncio.wait([self._flusher])

    async def _flush(self) -> None:
        while self._pending:
            pending, self._pending = self._pending, []
            self._room.set()
            try:
                await self._append(pending)
            except Exception as error:  # whoever waits for a receipt must hear of it, whatever it was
                for _, receipt in pending:
                    if not receipt.done():
                        receipt.set_exception(error)

    async def _append(self, taken: list[tuple[Send, asyncio.Future[RecordMetadata]]]) -> None:
        await self._learn({message.topic for message, _ in taken} - set(self._counts))
        pending = [(message, receipt) for message, receipt in taken if not await self._refused(message, receipt)]
        self._turn += 1  # messages without a key take turns over the partitions, a batch at a time
        batches: dict[TopicPartition, OutgoingBatch] = {}
        receipts: dict[TopicPartition, list[asyncio.Future[RecordMetadata]]] = {}
        for message, receipt in pending:
            target = TopicPartition(message.topic, self._partition(message))
            batch = batches.setdefault(target, OutgoingBatch(*target))
            batch.append(message.key, message.value, message.timestamp_ms, message.headers)
            receipts.setdefault(target, []).append(receipt)
        bases = await self._log().append(list(batches.values()))
        for (target, batch), base in zip(batches.items(), bases, strict=True):
            for index, receipt in enumerate(receipts[target]):
                if not receipt.done():
                    timestamp = batch.timestamps_ms[index] / 1000
                    receipt.set_result(RecordMetadata(target.topic, target.partition, base + index, timestamp))

    async def _refused(self, message: Send, receipt: asyncio.Future[RecordMetadata]) -> bool:
        """Whether a message's topic does not take it; its receipt says so, and the others do not suffer."""
        refusal = await self._refusal(message)
        if refusal is not None and not receipt.done():
            receipt.set_exception(refusal)
        return refusal is not None

    async def _refusal(self, message: Send) -> RecordRefusedError | None:
        """Return why a message's topic does not take it, None when it does; the topic may have grown meanwhile."""
        topic, nbytes = message.topic, record_bytes(message.key, message.value, message.headers)
        if not self._has(message):
            self._counts |= await self._log().partitions([topic])
            if not self._has(message):
                text = f"could not send to {topic}[{message.partition}]: there are {self._counts[topic]}"
                return RecordRefusedError(text, topic=topic)
        if nbytes > self._limits.get(topic, nbytes):
            self._limits = {**self._limits, **(await self._log().record_bytes_max([topic]))}
            if nbytes > (limit := self._limits.get(topic, nbytes)):
                return RecordTooLargeError(
                    f"could not send to {topic!r}: the message has {nbytes:,} bytes, the topic takes at most {limit:,}",
                    hint="send smaller messages, or raise max.message.bytes of the topic",
                    topic=topic,
                )
        return None

    def _has(self, message: Send) -> bool:
        """Whether the topic has the partition that a message names, if it names one."""
        return message.partition is None or 0 <= message.partition < self._counts[message.topic]

    def _partition(self, message: Send) -> int:
        if message.partition is not None:
            return message.partition
        count = self._counts[message.topic]
        return self._turn % count if message.key is None else partition_for(message.key, count)

    async def _learn(self, topics: set[str]) -> None:
        """Find out how many partitions topics have; one that is missing is made, as Kafka does."""
        if not topics:
            return
        log = self._log()
        found = await log.partitions(topics)
        missing = [self._layout(name) for name in sorted(topics - set(found))]
        self._counts |= {**found, **(await log.declare(missing) if missing else {})}
        self._limits = {**self._limits, **(await log.record_bytes_max(topics))}
