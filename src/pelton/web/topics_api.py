"""The topics over HTTP: what `/api/topics` and the addresses below it answer.

    GET  /api/topics                                       all topics of the log
    GET  /api/topics/{name}                                one of them, partition by partition
    GET  /api/topics/{name}/records                        records, searched, in pages
    GET  /api/topics/{name}/tail                           records as they come: server-sent events
    GET  /api/topics/{name}/{partition}/{offset}           one record
    GET  /api/topics/{name}/{partition}/{offset}/value     its value, as it is
    POST /api/topics/{name}/records                        write a record

Only committed records are shown. One request for records reads for about a second; `next` says from where another
one goes on.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress
from http import HTTPStatus
from typing import Any

import msgspec

from pelton.batch import Headers, OutgoingBatch, RecordBatch, TopicPartition
from pelton.errors import ConfigurationError, FencedError, OffsetOutOfRangeError, PeltonError
from pelton.log.contract import OffsetRange
from pelton.log.partitioner import partition_for
from pelton.web.api import Reply, refusal
from pelton.web.openapi_topics import RECORDS_MAX, RECORDS_PARAMETERS, TAIL_PARAMETERS
from pelton.web.parameters import bad_parameter, known, time_of
from pelton.web.record_text import BRIEF_BYTES, record_json, whole_json
from pelton.web.records import Record, RecordFilter, read_from, record_at, record_in
from pelton.web.searching import Place, Search, Work, places_of
from pelton.web.tailing import tail
from pelton.web.topics import KnownTopic, TopicBook, TopicFacts, UnknownTopicError

__all__ = [
    "NewRecord",
    "TopicApi",
    "cursor_text",
    "number_of",
    "places_in",
    "read_body",
    "refused",
]

#: How many records one answer holds where nobody says.
_RECORDS = 50
_NUMBER_MAX = 1 << 62
#: Of a record in a list only so much of the value is kept.
_KEPT_BYTES = 4 * BRIEF_BYTES

_Query = Mapping[str, str]


class NewHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A header of a record to be written. value: None is a null."""

    name: str
    value: str | None = None


class NewRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A record to be written, as text that the topic's codecs read.

    key, value: None is a null key, and a tombstone. partition: the key decides where it is None.
    """

    key: str | None = None
    value: str | None = None
    headers: list[NewHeader] = msgspec.field(default_factory=list[NewHeader])
    partition: int | None = None

    def own_headers(self) -> Headers:
        """Return the headers as a record has them."""
        return tuple((one.name, None if one.value is None else one.value.encode()) for one in self.headers)


def refused(error: PeltonError) -> Reply:
    """Return what a request is answered that ended in an error."""
    reply = refusal(error)
    if isinstance(error, UnknownTopicError | OffsetOutOfRangeError):
        return Reply(reply.document, HTTPStatus.NOT_FOUND)
    if isinstance(error, FencedError):
        return Reply(reply.document, HTTPStatus.CONFLICT)
    return reply


class TopicApi:
    """Answers requests for topics and their records. record_bytes_max: how large a record may be that is written."""

    def __init__(self, book: TopicBook, record_bytes_max: int) -> None:
        self.book = book
        self._record_bytes_max = record_bytes_max

    async def list(self) -> Reply:
        """Return the topics."""
        return Reply({"topics": [_topic_json(facts) for facts in await self.book.all()]})

    async def topic(self, name: str) -> Reply:
        """Return one topic, with its partitions."""
        facts = await self.book.one(name)
        spans = [
            {"partition": number, "start": span.start, "end": span.end} for number, span in sorted(facts.spans.items())
        ]
        return Reply({**_topic_json(facts), "offsets_of": spans})

    async def records(self, name: str, query: _Query) -> Reply:
        """Return a page of the records that a search finds, and where another request goes on."""
        known(query, RECORDS_PARAMETERS)
        topic = self.book.about(name)
        newest_first = _newest_first(query)
        limit = number_of(query, "limit", _RECORDS, 1, RECORDS_MAX)
        wanted = _filter(topic, query)
        places = await self._places(name, query, wanted, newest_first)

        def pick(batch: RecordBatch) -> Sequence[tuple[int, Record]]:
            return [(row, record_in(batch, row, bytes_max=_KEPT_BYTES)) for row in wanted.rows(batch)]

        search = Search((await self.book.log()), name, places, pick, self.book.clock, newest_first=newest_first)
        found = await search.run(Work(limit))
        document = {
            "topic": name,
            "records": [record_json(record, topic) for record in found.hits],
            "next": None if found.next is None else cursor_text(newest_first, found.next),
            "searched": {"records": found.records, "bytes": found.nbytes, "progress": round(found.progress, 4)},
        }
        return Reply(document)

    async def record(self, name: str, partition: str, offset: str) -> Reply:
        """Return one record, and its neighbours; where there is none, 404 with the neighbours."""
        source = await self.book.source(name, _whole("partition", partition))
        at = _whole("offset", offset)
        record = await record_at((await self.book.log()), source, at)
        span = (await (await self.book.log()).offsets([source]))[source]
        near = {"previous": await self._before(source, span, at), "next": await self._behind(source, span, at)}
        about = {"topic": name, "partition": source.partition, "offset": at, **near}
        if record is None:
            why = "it was compacted away, or marks a transaction, or is part of one that was aborted"
            return Reply(
                {"error": f"{source} has no record at offset {at}", "hint": why, **about}, HTTPStatus.NOT_FOUND
            )
        return Reply({**about, **_whole_json(record, self.book.about(name))})

    async def value(self, name: str, partition: str, offset: str) -> bytes:
        """Return the value of a record as it is. Raises: UnknownTopicError, also for a tombstone."""
        source = await self.book.source(name, _whole("partition", partition))
        record = await record_at((await self.book.log()), source, _whole("offset", offset))
        if record is None or record.value is None:
            raise UnknownTopicError(f"{source} has no value at offset {offset[:20]}")
        return record.value

    async def tail(self, name: str, query: _Query, last: str | None) -> AsyncGenerator[tuple[str, dict[str, Any]]]:
        """Yield what comes to a topic: where it goes on after it, and what to show.

        last: where another connection went on; None begins at the end.
        Raises: UnknownTopicError, ConfigurationError, before anything is yielded; UnavailableError.
        """
        known(query, TAIL_PARAMETERS)
        topic, numbers = self.book.about(name), await self._partitions(name, query)
        wanted = _filter(topic, query)
        positions = None if last is None else _positions(last)
        looks = tail((await self.book.log()), name, numbers, wanted, self.book.clock, positions=positions)
        async with aclosing(looks):
            async for look in looks:
                records = [record_json(record, topic) for record in look.records]
                told = {"records": records, "dropped": look.dropped, "passed": look.passed}
                yield _encoded(look.positions), told

    async def write(self, name: str, body: bytes) -> Reply:
        """Write a record. Raises: ConfigurationError for what the topic's codecs do not read, or the topic not take."""
        new = read_body(body, NewRecord)
        topic = self.book.about(name)
        count = await self.book.partitions(name)
        if topic.closed:
            raise ConfigurationError(f"topic {name} is not written to by hand: {topic.closed}")
        key = None if new.key is None else topic.write_key(new.key)
        value = None if new.value is None else topic.write_value(new.value)
        if len(key or b"") + len(value or b"") > self._record_bytes_max:
            raise ConfigurationError(
                f"the record has more than {self._record_bytes_max:,} bytes", hint="record_bytes_max sets the limit"
            )
        if new.partition is not None:
            number = (await self.book.source(name, new.partition)).partition
        else:
            number = self.book.clock.time_ms() % count if key is None else partition_for(key, count)
        batch = OutgoingBatch(name, number)
        batch.append(key, value, self.book.clock.time_ms(), new.own_headers())
        (offset,) = await (await self.book.log()).append([batch])
        return Reply({"topic": name, "partition": number, "offset": offset}, HTTPStatus.CREATED)

    # -- where a search goes -------------------------------------------------------------------------

    async def _partitions(self, name: str, query: _Query) -> Sequence[int]:
        if "partition" in query:
            return [(await self.book.source(name, _whole("partition", query["partition"]))).partition]
        return range(await self.book.partitions(name))

    async def _places(self, name: str, query: _Query, wanted: RecordFilter, newest_first: bool) -> dict[int, Place]:
        numbers = await self._partitions(name, query)
        if "cursor" in query:
            return places_in(query["cursor"], newest_first, numbers)
        places = await places_of(
            (await self.book.log()),
            name,
            numbers,
            newest_first=newest_first,
            since_ms=wanted.since_ms,
            until_ms=wanted.until_ms,
        )
        if "offset" not in query:
            return places
        at = _whole("offset", query["offset"])
        return {number: _from_offset(place, at, newest_first) for number, place in places.items()}

    async def _before(self, source: TopicPartition, span: OffsetRange, offset: int) -> int | None:
        """Return the offset of the record before another one, as far as one look goes."""

        def pick(batch: RecordBatch) -> Sequence[tuple[int, int]]:
            return [(row, batch.offsets[row]) for row in range(len(batch))]

        place = Place(span.start, offset, offset)
        search = Search((await self.book.log()), source.topic, {source.partition: place}, pick, self.book.clock)
        return next(iter((await search.run(Work(1))).hits), None)

    async def _behind(self, source: TopicPartition, span: OffsetRange, offset: int) -> int | None:
        position = offset + 1
        while position < span.end:
            batch = await read_from((await self.book.log()), source, position, bytes_max=1)
            if len(batch):
                return batch.offsets[0]
            position = batch.next_offset
        return None


def read_body(body: bytes, type_: type[Any]) -> Any:
    """Return what the body of a request says. Raises: ConfigurationError."""
    try:
        return msgspec.json.decode(body, type=type_)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigurationError(f"not such a request: {error}", hint="/api/openapi.json describes it") from error


def _topic_json(facts: TopicFacts) -> dict[str, Any]:
    known_ = facts.known
    policy = known_.cleanup_policy
    if policy is None and facts.compacted is not None:
        policy = "compact" if facts.compacted else "delete"
    return {
        "name": known_.name,
        "partitions": len(facts.spans),
        "offsets": facts.offsets,
        "declared": known_.declared,
        "roles": list(known_.roles),
        "agents": list(known_.agents),
        "tables": list(known_.tables),
        "cleanup_policy": policy,
        "retention_ms": known_.retention_ms,
        "key_type": known_.key_type,
        "value_type": known_.value_type,
        "closed": known_.closed,
        "rate": None if facts.rate is None else round(facts.rate, 1),
    }


def _whole_json(record: Record, topic: KnownTopic) -> dict[str, Any]:
    return {
        "timestamp_ms": record.timestamp_ms,
        "bytes": record.nbytes,
        **whole_json(record.key, record.value, record.headers, topic),
        "tables": list(topic.tables),
    }


def _filter(topic: KnownTopic, query: _Query) -> RecordFilter:
    header, _, value = query.get("header", "").partition("=")
    key = query.get("key")
    return RecordFilter(
        keys=frozenset() if key is None else _keys(topic, key),
        text=query.get("text", ""),
        header=header,
        header_value=value,
        since_ms=time_of(query, "since"),
        until_ms=time_of(query, "until"),
    )


def _keys(topic: KnownTopic, text: str) -> frozenset[bytes]:
    """Return the bytes that a key may be that somebody wrote: as they are, as JSON, as the topic's codec has it."""
    try:
        candidates = {text.encode(), msgspec.json.encode(text)}
    except UnicodeEncodeError as error:
        raise bad_parameter("key", text, "text") from error
    with suppress(ConfigurationError):  # no key of this topic, but a record may have it all the same
        candidates.add(topic.write_key(text))
    return frozenset(candidates)


def _from_offset(place: Place, offset: int, newest_first: bool) -> Place:
    if newest_first:
        high = min(max(place.low, offset + 1), place.high)
        return Place(place.low, high, high)
    low = max(min(place.high, offset), place.low)
    return Place(low, place.high, low)


def _newest_first(query: _Query) -> bool:
    order = query.get("order", "newest")
    if order not in ("newest", "oldest"):
        raise bad_parameter("order", order, "newest or oldest")
    return order == "newest"


def number_of(query: _Query, name: str, default: int, least: int, most: int) -> int:
    """Return a number from a request's parameters. Raises: ConfigurationError."""
    text = query.get(name, str(default))
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and least <= int(text) <= most):
        raise bad_parameter(name, text, f"a number from {least} to {most:,}")
    return int(text)


def _whole(name: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise bad_parameter(name, text, "a number from 0 on")
    return int(text)


def _encoded(document: Any) -> str:
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(document)).decode().rstrip("=")


def _decoded(text: str, type_: Any) -> Any:
    data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    return msgspec.msgpack.decode(data, type=type_)


def cursor_text(newest_first: bool, places: Mapping[int, Place]) -> str:
    """Return where a search goes on, for an address."""
    return _encoded([newest_first, {number: tuple(place) for number, place in places.items()}])


def places_in(cursor: str, newest_first: bool, numbers: Sequence[int]) -> dict[int, Place]:
    """Return where a search goes on. Raises: ConfigurationError for what is no cursor of this search."""
    try:
        same, found = _decoded(cursor, tuple[bool, dict[int, tuple[int, int, int]]])
    except (binascii.Error, ValueError, msgspec.MsgspecError) as error:
        raise bad_parameter("cursor", cursor, 'the "next" of the page before') from error
    places = {number: Place(*place) for number, place in found.items() if number in numbers}
    if same != newest_first or not all(0 <= low <= at <= high < _NUMBER_MAX for low, high, at in places.values()):
        raise bad_parameter("cursor", cursor, 'the "next" of the page before, in the same order')
    return places


def _positions(last: str) -> dict[int, int] | None:
    """Return where another connection went on; None, for the end, when it says nothing that can be read."""
    try:
        found: dict[int, int] = _decoded(last, dict[int, int])
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        return None
    return found if all(0 <= position < _NUMBER_MAX for position in found.values()) else None
