"""Channels: queues within one process, for agents that need no log. What is in one is gone with the process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pelton.batch import RecordBatch
from pelton.runtime.spec import AgentEmit, AgentRun
from pelton.shell.arguments import check_channel_send
from pelton.shell.topic import HeadersArg, RecordMetadata, as_headers
from pelton.stream.event import Event
from pelton.stream.lane import CURRENT_LANE, Chunk, Lane, Send
from pelton.stream.refused import Refused
from pelton.stream.stream import Feed, Stream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pelton.shell.app import App

__all__ = ["Channel", "ChannelLane"]

logger = logging.getLogger(__name__)

V = TypeVar("V")

#: How often a lane that is paused looks whether it is not any more, in seconds.
_PAUSED_LOOK_S = 0.1
#: The waits, in seconds, before code is called again that ended without an event, and so again and again.
_PAUSES_S = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)


def _as_is(key: bytes) -> object:
    return key


async def _no_run(feed: Feed, lane: Lane) -> None:
    """Do nothing: whoever iterates the stream runs it."""


def _no_emit(lane: Lane, value: Any) -> None:
    """Take nothing: there is no agent that yields."""


class Channel(Generic[V]):
    """A queue of values in memory. maxsize: how many it holds before a sender waits; None for any number."""

    def __init__(self, app: App, *, value_type: type[V] | None = None, maxsize: int | None = None) -> None:
        self.app = app
        self.value_type = value_type
        self.queue: asyncio.Queue[Chunk] = asyncio.Queue(maxsize or 0)
        self._sent = 0

    def get_topic_name(self) -> str:
        """Raise NotImplementedError: a channel is no topic (Faust's commands ask so)."""
        raise NotImplementedError("a channel has no topic")

    async def send(
        self, *, key: Any = None, value: V | Any = None, headers: HeadersArg | None = None, **ignored: Any
    ) -> Any:
        """Put a value into the queue; waits while it is full. The receipt is resolved already."""
        check_channel_send(ignored)
        chunk = self._chunk(key, value, headers)
        await self.queue.put(chunk)
        receipt: asyncio.Future[RecordMetadata] = asyncio.get_running_loop().create_future()
        receipt.set_result(RecordMetadata("", 0, chunk.batch.offsets[0], chunk.batch.timestamps_ms[0] / 1000))
        return receipt

    def send_soon(self, *, key: Any = None, value: V | Any = None, headers: HeadersArg | None = None) -> None:
        """Put a value into the queue, from plain code. Raises: asyncio.QueueFull."""
        self.queue.put_nowait(self._chunk(key, value, headers))

    async def put(self, value: Any) -> None:
        """Put a value, or an event's, into the queue."""
        event: Any = value
        await self.send(value=event.value if isinstance(value, Event) else value)

    def _chunk(self, key: Any, value: Any, headers: HeadersArg | None) -> Chunk:
        offset, self._sent = self._sent, self._sent + 1
        batch = RecordBatch(
            "", 0, [offset], [self.app.clock.time_ms()], [key], [None], offset + 1, [as_headers(headers)]
        )
        return Chunk(batch, range(1), [value], _as_is, offset + 1)

    def empty(self) -> bool:
        """Return whether nothing waits in it."""
        return self.queue.empty()

    async def get(self, *, timeout: float | None = None) -> Event[V]:
        """Take the next event. timeout: seconds, for ever when None. Raises: TimeoutError."""
        async with asyncio.timeout(timeout):
            chunk = await self.queue.get()
        return Event(chunk, 0, chunk.values[0])

    async def __aiter__(self) -> AsyncIterator[Event[V]]:
        while True:
            yield await self.get()

    def stream(self) -> Stream[V]:
        """Return a stream over the channel, to be iterated outside of agents."""
        feed = ChannelLane(str(self), self, _no_run, _no_emit)
        return Stream(feed, Lane(str(self), 0, 0, feed), self.app.repartition)

    throw = Refused("put a value that says so into the channel")
    decode = on_decode_error = on_key_decode_error = on_value_decode_error = Refused(
        "what is in a channel was never encoded"
    )

    def __str__(self) -> str:
        return "<channel>"


class ChannelLane:
    """Runs an agent over a channel; what it sends goes out when each event is done."""

    def __init__(
        self,
        name: str,
        channel: Channel[Any],
        run: AgentRun,
        emit: AgentEmit,
        paused: Callable[[], bool] = lambda: False,
    ) -> None:
        self._name = name
        self._channel = channel
        self._run = run
        self._emit = emit
        self._paused = paused
        self._outgoing: list[Send] = []
        self._taken = 0

    def extend(self, sends: Sequence[Send]) -> None:
        """Take over the messages of an event (this is the lane's outbox)."""
        self._outgoing.extend(sends)

    def monotonic(self) -> float:
        """Return elapsed time in seconds."""
        return self._channel.app.clock.monotonic()

    def time_ms(self) -> int:
        """Return the wall clock, in milliseconds since the epoch."""
        return self._channel.app.clock.time_ms()

    def waiting(self) -> tuple[str, ...]:
        """Return no topics: a channel is none."""
        return ()

    def listening_since_s(self) -> float:
        """Return the beginning of time: a channel has no silence."""
        return 0.0

    async def next_chunk(self, lane: Lane, *, limit: int | None = None, timeout_s: float | None = None) -> Chunk | None:
        """Return the next value of the channel, alone; what came before is complete."""
        if lane.dirty:
            lane.finish_event()
        await self._send_out()
        lane.chunk = None
        try:
            async with asyncio.timeout(timeout_s):
                while self._paused():
                    await self._channel.app.clock.sleep(_PAUSED_LOOK_S, idle=True)
                chunk = await self._channel.queue.get()
        except TimeoutError:
            return None
        lane.chunk, lane.cursor = chunk, 0
        self._taken += 1
        return chunk

    async def _send_out(self) -> None:
        outgoing, self._outgoing = self._outgoing, []
        for message in outgoing:
            await self._channel.app.sender.send(message)

    async def run(self) -> None:
        """Run the agent while the worker runs; an event that fails is logged and skipped, for nothing keeps it."""
        lane = Lane(self._name, 0, 0, self)
        CURRENT_LANE.set(lane)
        barren = 0  # how often in a row the code ended without an event
        while True:
            before = self._taken
            try:
                result = self._run(self, lane)
                if isinstance(result, AsyncGenerator):
                    async for value in result:
                        emitted = self._emit(lane, value)
                        if emitted is not None:
                            await emitted
                else:
                    await result
                lane.finish_event()
            except Exception:
                logger.exception("agent %s failed; channels keep nothing, so the event is skipped", self._name)
                lane.discard_event()
            lane.held.clear()
            await self._send_out()
            barren = barren + 1 if self._taken == before else 0
            await self._channel.app.clock.sleep(_PAUSES_S[min(barren, len(_PAUSES_S) - 1)])
