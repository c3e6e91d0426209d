"""Following a topic for those who wait: each page hears of its own question or order, whichever worker answers.

It is read outside of any group, from its end, and only while somebody waits.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar

import msgspec

from app.bank import app
from pelton import PeltonError, Topic, TopicPartition, read_kept

__all__ = ["Replies"]

T = TypeVar("T")

logger = logging.getLogger(__name__)

READ_BYTES_MAX = 1024 * 1024
READ_S = 1.0
#: Pieces that wait for a reader who is slow; the whole answer comes behind them all the same.
PIECES_MAX = 1_000


class Replies(Generic[T]):
    """Those who wait, and the readers of the topic's partitions while there are any.

    values: the type of the topic's values. subject: returns what a value is about, such as the id of a question.
    is_last: whether it is what one waits for; other values are left out where a reader is slow.
    """

    def __init__(
        self, topic: Topic[str, T], values: Any, *, subject: Callable[[T], str], is_last: Callable[[T], bool]
    ) -> None:
        self._topic = topic
        self._decode: Callable[[bytes], T] = msgspec.json.Decoder(values).decode
        self._subject = subject
        self._is_last = is_last
        self._waiting: defaultdict[str, list[asyncio.Queue[T]]] = defaultdict(list)
        self._readers: list[asyncio.Task[None]] = []
        self._changing = asyncio.Lock()

    @asynccontextmanager
    async def expecting(self, subject: str) -> AsyncGenerator[asyncio.Queue[T], None]:
        """Give what comes about a subject; the topic is being read when this begins."""
        pieces: asyncio.Queue[T] = asyncio.Queue()
        self._waiting[subject].append(pieces)
        try:
            async with self._changing:
                if not self._readers:
                    await self._start()
            yield pieces
        finally:
            self._waiting[subject].remove(pieces)
            if not self._waiting[subject]:
                del self._waiting[subject]
            if not self._waiting:
                readers, self._readers = self._readers, []
                for reader in readers:
                    reader.cancel()

    async def _start(self) -> None:
        await self._topic.declare()
        log, topic = app.log_connection, self._topic.get_topic_name()
        count = (await log.partitions([topic]))[topic]
        ranges = await log.offsets([TopicPartition(topic, number) for number in range(count)])
        self._readers = [asyncio.create_task(self._read(source, span.end)) for source, span in ranges.items()]

    async def _read(self, source: TopicPartition, offset: int) -> None:
        while True:
            try:
                log = app.log_connection
                batch = await read_kept(log, source, offset, bytes_max=READ_BYTES_MAX, timeout_s=READ_S)
                offset = batch.next_offset
            except PeltonError as error:
                logger.warning("cannot read replies, trying again: %s", error)
                await asyncio.sleep(READ_S)
                continue
            for value in batch.values:
                if value is not None:
                    self._hand_out(value)

    def _hand_out(self, data: bytes) -> None:
        try:
            reply = self._decode(data)
        except msgspec.DecodeError as error:
            logger.warning("a reply is not one: %s", error)
            return
        for pieces in self._waiting.get(self._subject(reply), ()):
            if self._is_last(reply) or pieces.qsize() < PIECES_MAX:
                pieces.put_nowait(reply)
