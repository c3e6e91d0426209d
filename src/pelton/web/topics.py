"""Topics as whoever looks at the log sees them: what the program says of each, and what the log holds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from pelton.batch import TopicPartition
from pelton.clock import Clock
from pelton.errors import ConfigurationError, PeltonError
from pelton.log.contract import Log, OffsetRange

__all__ = ["KnownTopic", "Shown", "TopicBook", "TopicFacts", "UnknownTopicError", "as_it_is", "guessed"]

#: Two measurements of how far topics reach, to tell a rate, lie so far apart at least.
_RATE_EVERY_S = 2.0


class UnknownTopicError(PeltonError):
    """There is no such topic, or no such record in it."""


@dataclass(frozen=True, slots=True)
class Shown:
    """Bytes as their codec reads them: a value that JSON can hold, or why they hold none.

    codec: how they were read, "" when nobody knows how.
    """

    codec: str
    value: Any = None
    error: str | None = None


def guessed(data: bytes) -> Shown:
    """Return what bytes seem to be where nobody declares it: JSON, else nothing."""
    try:
        value = msgspec.json.decode(data)
        msgspec.json.encode(value)  # not all that can be read can be told: numbers without end, for example
    except (ValueError, OverflowError, RecursionError):  # msgspec's errors are ValueErrors
        return Shown("")
    return Shown("json, guessed", value)


def as_it_is(text: str) -> bytes:
    """Return text as bytes, where nobody declares what they are to be. Raises: ConfigurationError."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise ConfigurationError(f"not text: {error}", hint="write it in UTF-8") from error


@dataclass(frozen=True, slots=True)
class KnownTopic:
    """What the program says of a topic; the defaults are those of one that it does not know.

    roles: what it is to the application: source, output, changelog, dead letters, or internal.
    agents: those that read it. tables: those whose keys are its keys. cleanup_policy, retention_ms: as declared; -1 is
    for ever. key_type, value_type: as the program wrote them.
    show_key, show_value: read what records hold. write_key, write_value: turn text into bytes that the codec reads
    back; they raise ConfigurationError for a text that is none.
    closed: why nobody may write to it by hand; "" when one may.
    """

    name: str
    roles: Sequence[str] = ()
    declared: bool = False
    agents: Sequence[str] = ()
    tables: Sequence[str] = ()
    cleanup_policy: str | None = None
    retention_ms: int | None = None
    key_type: str = ""
    value_type: str = ""
    show_key: Callable[[bytes], Shown] = guessed
    show_value: Callable[[bytes], Shown] = guessed
    write_key: Callable[[str], bytes] = as_it_is
    write_value: Callable[[str], bytes] = as_it_is
    closed: str = ""


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """A topic as it is. rate: offsets written a second, over the last few seconds; None when it is not known yet."""

    known: KnownTopic
    spans: Mapping[int, OffsetRange]
    compacted: bool | None = None
    rate: float | None = None

    @property
    def offsets(self) -> int:
        """How many offsets it spans: as many records, or fewer where some were compacted away or mark transactions."""
        return sum(span.end - span.start for span in self.spans.values())


@dataclass(slots=True)
class _Measured:
    at_s: float
    ends: Mapping[str, int]
    before: tuple[float, Mapping[str, int]] | None = None


@dataclass(slots=True)
class TopicBook:
    """Looks topics up in the log. log: returns it, open. known: what the program says of them, by name."""

    log: Callable[[], Awaitable[Log]]
    known: Callable[[], Mapping[str, KnownTopic]]
    clock: Clock
    _measured: _Measured | None = field(default=None, init=False)

    def about(self, name: str) -> KnownTopic:
        """Return what the program says of a topic."""
        return self.known().get(name) or KnownTopic(name)

    async def partitions(self, name: str) -> int:
        """Return how many partitions a topic has. Raises: UnknownTopicError."""
        count = (await (await self.log()).partitions([name])).get(name)
        if count is None:
            raise UnknownTopicError(f"there is no topic {name[:250]!r}", hint="/api/topics names them")
        return count

    async def source(self, name: str, partition: int) -> TopicPartition:
        """Return a partition of a topic. Raises: UnknownTopicError."""
        count = await self.partitions(name)
        if not 0 <= partition < count:
            raise UnknownTopicError(f"topic {name} has no partition {partition}: it has 0 to {count - 1}")
        return TopicPartition(name, partition)

    async def all(self) -> Sequence[TopicFacts]:
        """Return all topics of the log, by name."""
        return await self._facts(sorted(await (await self.log()).topics()))

    async def one(self, name: str) -> TopicFacts:
        """Return one topic. Raises: UnknownTopicError."""
        await self.partitions(name)
        return (await self._facts([name]))[0]

    async def _facts(self, names: Sequence[str]) -> Sequence[TopicFacts]:
        log, known = await self.log(), self.known()
        counts = await log.partitions(names)
        spans = await log.offsets(
            TopicPartition(name, number) for name, count in counts.items() for number in range(count)
        )
        rules = await log.record_rules(counts)
        by_topic: dict[str, dict[int, OffsetRange]] = {name: {} for name in counts}
        for source, span in sorted(spans.items()):
            by_topic[source.topic][source.partition] = span
        rates = self._rates({name: sum(span.end for span in found.values()) for name, found in by_topic.items()})
        return [
            TopicFacts(
                known.get(name) or KnownTopic(name),
                found,
                rules[name].keyed if name in rules else None,
                rates.get(name),
            )
            for name, found in sorted(by_topic.items())
        ]

    def _rates(self, ends: Mapping[str, int]) -> Mapping[str, float]:
        """Return how fast topics grow, since a measurement that is some seconds old."""
        now_s, last = self.clock.monotonic(), self._measured
        if last is None:
            self._measured = _Measured(now_s, dict(ends))
            return {}
        if now_s - last.at_s >= _RATE_EVERY_S:
            self._measured = _Measured(now_s, {**last.ends, **ends}, (last.at_s, last.ends))
            base = (last.at_s, last.ends)
        elif last.before is not None:
            base = last.before
        else:
            return {}
        at_s, before = base
        return {name: max(0.0, (end - before[name]) / (now_s - at_s)) for name, end in ends.items() if name in before}
