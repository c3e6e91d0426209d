"""One event, as an object, for the code that asks for it (`stream.events()`); the engine itself never makes one."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from pelton.errors import ConfigurationError
from pelton.stream.lane import Chunk
from pelton.stream.refused import Refused

__all__ = ["Event", "Message", "Sends"]

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Message:
    """Where an event stands in the log, and its raw bytes.

    timestamp: seconds since the epoch, as Faust has it; timestamp_ms: the log's own milliseconds.
    headers: one value a name (the last one, when a name repeats).
    """

    topic: str
    partition: int
    offset: int
    timestamp: float
    timestamp_ms: int
    headers: Mapping[str, bytes | None]
    key: bytes | None
    value: bytes | None


class Sends(Protocol):
    """What an event asks of the program around it."""

    async def send(self, channel: Any, key: Any = None, value: Any = None, **options: Any) -> Awaitable[Any]:
        """Send a message to a topic, a channel, an agent, or a topic by name."""
        ...


#: Stands for what the event itself holds, where None means nothing.
_OWN: Any = object()


class Event(Generic[V]):
    """A key and a value, with the message that they came in. program: what `send` and `forward` send with."""

    __slots__ = ("_chunk", "_index", "_program", "key", "value")

    def __init__(self, chunk: Chunk, index: int, value: V, program: Sends | None = None) -> None:
        self._chunk = chunk
        self._index = index
        self._program = program
        self.key = chunk.key(index)
        self.value = value

    @property
    def message(self) -> Message:
        """The message as it stands in the log."""
        batch, row = self._chunk.batch, self._chunk.rows[self._index]
        timestamp_ms = batch.timestamps_ms[row]
        return Message(
            batch.topic,
            batch.partition,
            batch.offsets[row],
            timestamp_ms / 1000,
            timestamp_ms,
            self.headers,
            batch.keys[row],
            batch.values[row],
        )

    @property
    def headers(self) -> Mapping[str, bytes | None]:
        """The message's headers, by name."""
        return dict(self._chunk.headers(self._index))

    def ack(self) -> bool:
        """Do nothing: an event is acknowledged by the commit that holds its effects.

        Returns: True, as Faust does when it was the last reference.
        """
        return True

    async def send(
        self, channel: Any, key: Any = _OWN, value: Any = _OWN, headers: Any = _OWN, **options: Any
    ) -> Awaitable[Any]:
        """Send the event on, decoded and encoded anew; what is not given is the event's own."""
        return await self._send(channel, key, value, headers, (self.key, self.value), options)

    async def forward(
        self, channel: Any, key: Any = _OWN, value: Any = _OWN, headers: Any = _OWN, **options: Any
    ) -> Awaitable[Any]:
        """Send the event on, byte for byte; what is not given is the event's own."""
        message = self.message
        return await self._send(channel, key, value, headers, (message.key, message.value), options)

    async def _send(
        self, channel: Any, key: Any, value: Any, headers: Any, own: tuple[Any, Any], options: dict[str, Any]
    ) -> Awaitable[Any]:
        if self._program is None:
            raise ConfigurationError(
                "this event knows no program to send with", hint="send with app.send, topic.send or agent.send"
            )
        return await self._program.send(
            channel,
            key=own[0] if key is _OWN else key,
            value=own[1] if value is _OWN else value,
            headers=self._chunk.headers(self._index) if headers is _OWN else headers,
            **options,
        )

    acked = Refused("an event is acknowledged by the commit that holds its effects; app.statistics() counts them")
    app = Refused("use the program's own app object")

    async def __aenter__(self) -> Event[V]:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.ack()

    def __repr__(self) -> str:
        return f"<Event key={self.key!r} value={self.value!r}>"
