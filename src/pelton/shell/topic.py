"""Topics as a program declares them, and sending to them.

A send from an agent's code is an effect of the event: staged, and visible with the commit that holds the event. A
send from anywhere else (web pages, timers, commands) goes through the log's idempotent producer and is durable when
its receipt says so.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pelton.aggregate import field_getter
from pelton.batch import Headers
from pelton.codec import default_serializer
from pelton.codec.contract import Codec
from pelton.errors import ConfigurationError, RecordTooLargeError
from pelton.log.contract import CleanupPolicy, TopicSpec
from pelton.runtime.event_time import EventTime
from pelton.runtime.spec import SourceSpec
from pelton.shell.arguments import check_count, check_priority
from pelton.shell.models import record_serializer, shell_codec
from pelton.stream.lane import CURRENT_LANE, Send
from pelton.stream.refused import Refused
from pelton.window import declared_ms, seconds

if TYPE_CHECKING:
    from pelton.shell.app import App

__all__ = ["RecordMetadata", "SendReceipt", "StagedReceipt", "Topic", "TopicOptions", "as_headers"]

K = TypeVar("K")
V = TypeVar("V")

_LATEST_MS = 2**63 - 1
_EARLIEST_MS = -(2**63)

HeadersArg = Mapping[str, bytes | str | None] | Iterable[tuple[str, bytes | str | None]]


@dataclass(frozen=True, slots=True)
class RecordMetadata:
    """Where a message went. offset is -1 for one that is staged in a transaction: it has none before the commit."""

    topic: str
    partition: int
    offset: int
    timestamp: float
    timestamp_type: int = 0

    def _asdict(self) -> dict[str, Any]:
        return {
            "topic": self.topic,
            "partition": self.partition,
            "offset": self.offset,
            "timestamp": self.timestamp,
            "timestamp_type": self.timestamp_type,
        }


SendReceipt = Awaitable[RecordMetadata]


class StagedReceipt:
    """The receipt of a message that an agent sent: it shares the fate of the event."""

    __slots__ = ("_message",)

    def __init__(self, message: Send) -> None:
        self._message = message

    def __await__(self) -> Generator[Any, None, RecordMetadata]:
        """Return at once: waiting for the commit inside the event that it holds would wait for ever."""
        message = self._message
        partition = -1 if message.partition is None else message.partition
        return RecordMetadata(message.topic, partition, -1, message.timestamp_ms / 1000)
        yield  # pragma: no cover - makes this a generator


@dataclass(frozen=True, slots=True)
class TopicOptions:
    """How a topic is laid out, as `app.topic` takes it. retention: seconds or a timedelta; -1 to keep all.

    purged: whether its records are deleted once the application is past them.
    timestamp: where the events have their time: "record" (what the producer said), "log" (when the log took it in), or
        a field of the value.
    max_future: how far the field may be ahead of the record's timestamp; future: what becomes of an event that is
        further ahead: "dead_letter", or "cap" to take it as being that far ahead.
    priority: a worker handles the events of topics with a higher one first.
    Raises: ConfigurationError.
    """

    partitions: int | None = None
    retention: float | timedelta | None = None
    compacting: bool | None = None
    deleting: bool | None = None
    replicas: int | None = None
    config: Mapping[str, Any] | None = None
    allow_empty: bool = False
    internal: bool = False
    timestamp: Any = "record"
    max_future: float | timedelta | None = None
    future: str = "dead_letter"
    purged: bool = False
    priority: int = 0

    def __post_init__(self) -> None:
        check_priority("a topic", self.priority)
        if self.future not in ("dead_letter", "cap"):
            raise ConfigurationError(f'future: expected "dead_letter" or "cap", got {self.future!r}')
        if self.max_future is not None and self.timestamp in ("record", "log"):
            raise ConfigurationError(
                "max_future compares the time in a field with that of the record: it needs timestamp=field",
                hint='write timestamp=Transaction.ts; on Kafka, timestamp="log" has the broker set the time',
            )

    def event_time(self) -> EventTime | None:
        """Return where the events have their time; None for the log's timestamp."""
        if self.timestamp in ("record", "log"):
            return None
        max_future_ms = None if self.max_future is None else declared_ms(self.max_future)
        return EventTime(field_getter(self.timestamp), max_future_ms, self.future == "cap")


def as_headers(headers: HeadersArg | None) -> Headers:
    """Return headers in the order given, their values as bytes, or None. Raises: TypeError, UnicodeEncodeError."""
    if not headers:
        return ()
    pairs: Iterable[tuple[str, Any]] = headers.items() if isinstance(headers, Mapping) else headers  # pyright: ignore
    found = tuple((name, value.encode() if isinstance(value, str) else value) for name, value in pairs)
    for name, data in found:
        if data is not None and not isinstance(data, bytes):
            # Found out at the commit, it would fail that of all other events too.
            raise TypeError(f"header {name!r}: expected bytes, text or None, got {type(data).__name__}")
        name.encode("utf-8", "surrogateescape")  # raises for what is neither text nor was bytes
    return found


def as_timestamp_ms(seconds_: float) -> int:
    """Return a time, in seconds since the epoch, as the log has it.

    Raises: ValueError, OverflowError for a time that does not fit: found out at the commit, it would fail that of all
        other events too.
    """
    timestamp_ms = round(seconds_ * 1000)
    if not _EARLIEST_MS <= timestamp_ms <= _LATEST_MS:
        raise OverflowError(f"timestamp {seconds_!r}: expected seconds since the epoch, within 64 bits of milliseconds")
    return timestamp_ms


class Topic(Generic[K, V]):
    """One or more topics of the log, with the types of their keys and values.

    key_serializer, value_serializer: names of codecs; the types' own when None.
    """

    def __init__(
        self,
        app: App,
        names: Sequence[str],
        *,
        key_type: type[K] | None = None,
        value_type: type[V] | None = None,
        key_serializer: str | None = None,
        value_serializer: str | None = None,
        options: TopicOptions | None = None,
    ) -> None:
        if not names:
            raise ConfigurationError("a topic needs a name", hint='write app.topic("transactions")')
        if not all(isinstance(name, str) for name in names):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(
                f"expected names of topics, got {names!r}", hint='write app.topic("orders-eu", "orders-us")'
            )
        if options is not None:
            check_count(f"topic {names[0]}: partitions", options.partitions)
            check_count(f"topic {names[0]}: replicas", options.replicas)
        self.app = app
        self.topics: Sequence[str] = tuple(names)
        self.key_type = key_type
        self.value_type = value_type
        self.key_serializer = key_serializer
        self.value_serializer = value_serializer
        self.options = options or TopicOptions()
        self._codecs: tuple[Codec[Any], Codec[Any]] | None = None

    def get_topic_name(self) -> str:
        """Return the topic's name.

        Raises: ConfigurationError when it stands for several topics.
        """
        if len(self.topics) > 1:
            raise ConfigurationError(
                f"{', '.join(self.topics)}: several topics in one", hint="send to a topic that has one name"
            )
        return self.topics[0]

    @property
    def partitions(self) -> int | None:
        """How many partitions it was declared with."""
        return self.options.partitions

    def specs(self) -> list[TopicSpec]:
        """Return what the log is to hold."""
        options = self.options
        retention = options.retention
        config = {name: str(value) for name, value in (options.config or {}).items()}
        if options.timestamp == "log":
            config["message.timestamp.type"] = "LogAppendTime"
        policy: CleanupPolicy = "delete"
        if options.compacting:
            policy = "compact,delete" if options.deleting else "compact"
        return [
            TopicSpec(
                name,
                options.partitions,
                options.replicas,
                policy,
                None if retention is None else max(-1, int(seconds(retention) * 1000)),
                config,
            )
            for name in self.topics
        ]

    def sources(self) -> dict[str, SourceSpec]:
        """Return the topics as an agent reads them, by name."""
        key_codec, value_codec = self.codecs()
        options = self.options
        event_time = options.event_time()
        return {
            spec.name: SourceSpec(
                spec,
                key_codec,
                value_codec,
                options.allow_empty,
                event_time=event_time,
                purged=options.purged,
                priority=options.priority,
            )
            for spec in self.specs()
        }

    def codecs(self) -> tuple[Codec[Any], Codec[Any]]:
        """Return the codecs of its keys and values."""
        if self._codecs is None:
            conf = self.app.conf
            key = (
                self.key_serializer
                or record_serializer(self.key_type)
                or default_serializer(self.key_type, role="key", configured=str(conf.key_serializer))
            )
            value = (
                self.value_serializer
                or record_serializer(self.value_type)
                or default_serializer(self.value_type, role="value", configured=str(conf.value_serializer))
            )
            self._codecs = shell_codec(self.key_type, key), shell_codec(self.value_type, value)
        return self._codecs

    def prepare_key(self, key: Any) -> bytes | None:
        """Return a key as bytes; bytes stay what they are."""
        return key if key is None or isinstance(key, bytes) else self.codecs()[0].encode(key)

    def prepare_value(self, value: Any) -> bytes | None:
        """Return a value as bytes; bytes stay what they are, None is a tombstone."""
        return value if value is None or isinstance(value, bytes) else self.codecs()[1].encode(value)

    def outgoing(
        self,
        key: Any,
        value: Any,
        *,
        partition: int | None = None,
        timestamp: float | None = None,
        headers: HeadersArg | None = None,
    ) -> Send:
        """Return a message for this topic. Raises: RecordTooLargeError when it is larger than record_bytes_max.

        timestamp: seconds since the epoch; by default the event's own, or the clock's outside of agents.
        """
        lane = CURRENT_LANE.get()
        if timestamp is not None:
            timestamp_ms = as_timestamp_ms(timestamp)
        else:
            timestamp_ms = lane.timestamp_ms if lane is not None else self.app.clock.time_ms()
        name, key_bytes, value_bytes = self.get_topic_name(), self.prepare_key(key), self.prepare_value(value)
        # Here the event fails that sends too much; later it would be the commit, with all that others have done.
        if (size := len(key_bytes or b"") + len(value_bytes or b"")) > self.app.config.record_bytes_max:
            raise RecordTooLargeError(
                f"could not send to {name!r}: the message has {size:,} bytes, "
                f"expected at most {self.app.config.record_bytes_max:,}",
                hint="send smaller messages, or raise PELTON_RECORD_BYTES_MAX and the broker's max.message.bytes",
                topic=name,
            )
        return Send(name, partition, key_bytes, value_bytes, timestamp_ms, as_headers(headers))

    async def send(
        self,
        *,
        key: K | Any = None,
        value: V | Any = None,
        partition: int | None = None,
        timestamp: float | None = None,
        headers: HeadersArg | None = None,
        key_serializer: str | None = None,
        value_serializer: str | None = None,
        callback: Callable[[Any], Any] | None = None,
        force: bool = False,
    ) -> SendReceipt:
        """Send a message.

        Within an agent it is staged with the event. Elsewhere it is buffered, and awaiting the receipt waits until it
        is
        durable: `metadata = await (await topic.send(...))`.
        force: send at once even within an agent, outside of its transaction (requests that wait for an answer need
        that).
        callback: called with the receipt when the message is durable; not possible within an agent.
        """
        if key_serializer or value_serializer:
            key = self._encode_as(key, self.key_type, key_serializer)
            value = self._encode_as(value, self.value_type, value_serializer)
        message = self.outgoing(key, value, partition=partition, timestamp=timestamp, headers=headers)
        lane = CURRENT_LANE.get()
        if lane is not None and not force:
            lane.send(message)
            return StagedReceipt(message)
        await self.app.open_log()
        receipt = await self.app.sender.send(message)
        if callback is not None:
            receipt.add_done_callback(callback)
        return receipt

    def _encode_as(self, data: Any, type_: Any, serializer: str | None) -> Any:
        if serializer is None or data is None or isinstance(data, bytes):
            return data
        return shell_codec(type_, serializer).encode(data)

    def send_soon(self, *, key: Any = None, value: Any = None, **options: Any) -> StagedReceipt:
        """Stage a message from plain (not async) code of an agent.

        Raises: ConfigurationError outside of agents.
        """
        lane = CURRENT_LANE.get()
        if lane is None:
            raise ConfigurationError("send_soon works within an agent only", hint="write: await topic.send(...)")
        message = self.outgoing(key, value, **options)
        lane.send(message)
        return StagedReceipt(message)

    def derive(self, **changes: Any) -> Topic[Any, Any]:
        """Return a topic like this one with other types, serializers or names."""
        names = tuple(changes.pop("topics", self.topics))
        settings: dict[str, Any] = {
            "key_type": self.key_type,
            "value_type": self.value_type,
            "key_serializer": self.key_serializer,
            "value_serializer": self.value_serializer,
            "options": self.options,
        }
        return Topic(self.app, names, **(settings | changes))

    async def declare(self) -> None:
        """Create the topic, or check the one that exists."""
        await self.app.open_log()
        await self.app.log_connection.declare(self.specs())

    maybe_declare = declare

    def derive_topic(self, *, prefix: str = "", suffix: str = "", **changes: Any) -> Topic[Any, Any]:
        """Return a topic like this one, its name with a prefix and a suffix unless `topics` is given."""
        names = changes.pop("topics", None) or [f"{prefix}{name}{suffix}" for name in self.topics]
        return self.derive(topics=names, **changes)

    stream = Refused("read it with an agent: @app.agent(topic)")
    put = get = throw = empty = queue = Refused("a topic is in the log: send to it, and read it with an agent")
    decode = on_decode_error = on_key_decode_error = on_value_decode_error = Refused(
        "records that cannot be decoded are in the topic <app>-dlq with their error: read that"
    )

    def __str__(self) -> str:
        return ",".join(self.topics)

    def __repr__(self) -> str:
        return f"<Topic: {self}>"
