"""The dead letters over HTTP: what `/api/dlq` and the addresses below it answer.

    GET  /api/dlq                       how many there are, by reason and over time
    GET  /api/dlq/letters               letters, the newest first, in pages
    GET  /api/dlq/letters/{number}      one of them, with the record and the error
    POST /api/dlq/replay                put records back, as they were or edited
    POST /api/dlq/discard               mark letters as done with

Reading is bounded: of a topic of letters without end the newest are looked at, and the answer says so. Settling is
`pelton.runtime.settling`'s, each letter exactly once; who settles meanwhile on another worker, or by the command line,
takes over, and that is answered with 409.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

import msgspec

from pelton.batch import RecordBatch
from pelton.errors import ConfigurationError
from pelton.log.contract import Log
from pelton.runtime.letters import Letter, LetterBox, LetterQuery, Mark, Number, letter_at, read_marks
from pelton.runtime.settling import Edit, Settled, discard, replay
from pelton.web.api import Reply
from pelton.web.letter_json import reason_of, summary_json
from pelton.web.openapi_topics import LETTERS_MAX, LETTERS_PARAMETERS
from pelton.web.parameters import bad_parameter, known, time_of
from pelton.web.record_text import whole_json
from pelton.web.searching import Place, Search, Work, places_of
from pelton.web.topics import KnownTopic, TopicBook, UnknownTopicError
from pelton.web.topics_api import NewHeader, cursor_text, number_of, places_in, read_body

__all__ = ["DiscardRequest", "LetterApi", "ReplayRequest"]

#: How many letters one answer counts, lists where nobody says, and settles by their numbers.
_COUNTED_MAX = 20_000
_LISTED = 50
_NUMBERS_MAX = 1_000
_COUNT_S = 2.0
#: Into how many parts the time is divided that the counts span.
_BARS = 40


class Bytes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bytes as somebody writes them: a text that the topic's codec reads, or anything in hexadecimal."""

    text: str | None = None
    hex: str | None = None


class RecordEdit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What changes in a record; what is left out stays. key, value: None is a null."""

    key: Bytes | msgspec.UnsetType | None = msgspec.UNSET
    value: Bytes | msgspec.UnsetType | None = msgspec.UNSET
    headers: list[NewHeader] | msgspec.UnsetType = msgspec.UNSET


class Chosen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Letters that have something in common, instead of their numbers; at least one of these."""

    topic: str | None = None
    agent: str | None = None
    error: str | None = None


class ReplayRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Letters to be replayed: by their numbers, or all that are chosen. edit: for one letter alone."""

    numbers: list[str] = msgspec.field(default_factory=list[str])
    all: Chosen | None = None
    to: str | None = None
    edit: RecordEdit | None = None


class DiscardRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Letters to be discarded, and why, for those who look later."""

    reason: str
    numbers: list[str] = msgspec.field(default_factory=list[str])
    all: Chosen | None = None


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Which letters a list shows."""

    query: LetterQuery
    reason: str | None

    def matches(self, letter: Letter) -> bool:
        return self.query.matches(letter) and self.reason in (None, reason_of(letter))


@dataclass(slots=True)
class LetterApi:
    """Answers requests for dead letters. own_log: opens a connection to settle some over; joining a group needs one."""

    book: TopicBook
    app_id: str
    own_log: Callable[[], AbstractAsyncContextManager[Log]]
    _settling: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    async def summary(self) -> Reply:
        """Return how many letters wait, by what went wrong, and when."""
        letters, complete = await self._newest()
        waiting = [letter for letter in letters if letter.mark is None]
        groups: dict[tuple[str, str, str], list[int]] = {}
        for letter in waiting:
            groups.setdefault((letter.agent, letter.topic, reason_of(letter)), []).append(letter.timestamp_ms)
        reasons = [
            {
                "agent": agent,
                "topic": topic,
                "reason": reason,
                "count": len(times),
                "first_ms": min(times),
                "last_ms": max(times),
            }
            for (agent, topic, reason), times in groups.items()
        ]
        return Reply(
            {
                "waiting": len(waiting),
                "settled": len(letters) - len(waiting),
                "complete": complete,
                "reasons": sorted(reasons, key=lambda one: (-int(str(one["count"])), str(one["reason"]))),
                "over_time": _bars([letter.timestamp_ms for letter in waiting]),
            }
        )

    async def list(self, query: Mapping[str, str]) -> Reply:
        """Return a page of letters, the newest first."""
        known(query, LETTERS_PARAMETERS)
        wanted = _wanted(query)
        limit = number_of(query, "limit", _LISTED, 1, LETTERS_MAX)
        log = await self.book.log()
        box, marks = LetterBox(log, self.app_id), await self._marks(log)
        count = (await log.partitions([box.topic])).get(box.topic, 0)
        if "cursor" in query:
            places = places_in(query["cursor"], True, range(count))
        else:
            places = await self._places(log, box)

        def pick(batch: RecordBatch) -> Sequence[tuple[int, Letter]]:
            letters = ((row, letter_at(batch, row, marks)) for row in range(len(batch)))
            return [(row, letter.envelope()) for row, letter in letters if wanted.matches(letter)]

        search = Search(log, box.topic, places, pick, self.book.clock)
        found = await search.run(Work(limit))
        document = {
            "letters": [summary_json(letter) for letter in found.hits],
            "next": None if found.next is None else cursor_text(True, found.next),
            "searched": {"records": found.records, "bytes": found.nbytes, "progress": round(found.progress, 4)},
        }
        return Reply(document)

    async def letter(self, number: str) -> Reply:
        """Return one letter with everything in it. Raises: UnknownTopicError, ConfigurationError."""
        letter = await self._letter(Number.parse(number))
        topic = self.book.about(letter.topic)
        return Reply(
            {
                **summary_json(letter),
                "traceback": letter.traceback,
                **whole_json(letter.key, letter.value, letter.headers, topic),
            }
        )

    async def replay(self, body: bytes) -> Reply:
        """Put the records of letters back. Raises: ConfigurationError, FencedError, UnavailableError."""
        request: ReplayRequest = read_body(body, ReplayRequest)
        query = _chosen(request.numbers, request.all)
        edits: dict[Number, Edit] = {}
        if request.edit is not None:
            if len(query.numbers) != 1:
                raise ConfigurationError("edit: expected the number of one letter", hint="edit one after the other")
            (number,) = query.numbers
            letter = await self._letter(number)
            edits[number] = _edited(letter, request.edit, self.book.about(request.to or letter.topic))
        if request.to is not None:
            await self.book.partitions(request.to)
            if closed := self.book.about(request.to).closed:
                raise ConfigurationError(f"topic {request.to} is not written to by hand: {closed}")

        async def job(log: Log) -> Settled:
            return await replay(log, self.app_id, query, self.book.clock, _ignored, to=request.to, edits=edits)

        return _told(await self._settle(job))

    async def discard(self, body: bytes) -> Reply:
        """Mark letters as done with. Raises: ConfigurationError, FencedError, UnavailableError."""
        request: DiscardRequest = read_body(body, DiscardRequest)
        query = _chosen(request.numbers, request.all)
        if not request.reason.strip():
            raise ConfigurationError("could not discard: no reason given", hint="say why, for those who look later")

        async def job(log: Log) -> Settled:
            return await discard(log, self.app_id, query, self.book.clock, _ignored, reason=request.reason)

        return _told(await self._settle(job))

    # -- reading -------------------------------------------------------------------------------------

    async def _settle(self, job: Callable[[Log], Awaitable[Settled]]) -> Settled:
        """Settle letters; those who ask this worker wait for each other, and do not take over."""
        async with self._settling, self.own_log() as log:
            return await job(log)

    async def _marks(self, log: Log) -> Mapping[Number, Mark]:
        return await read_marks(log, LetterBox(log, self.app_id).marks_topic)

    async def _places(self, log: Log, box: LetterBox) -> dict[int, Place]:
        count = (await log.partitions([box.topic])).get(box.topic, 0)
        return await places_of(log, box.topic, range(count), newest_first=True, since_ms=None, until_ms=None)

    async def _newest(self) -> tuple[Sequence[Letter], bool]:
        """Return the newest letters, without what they hold, and whether these are all."""
        log = await self.book.log()
        box, marks = LetterBox(log, self.app_id), await self._marks(log)

        def pick(batch: RecordBatch) -> Sequence[tuple[int, Letter]]:
            return [(row, letter_at(batch, row, marks).envelope()) for row in range(len(batch))]

        search = Search(log, box.topic, await self._places(log, box), pick, self.book.clock)
        found = await search.run(Work(_COUNTED_MAX, seconds=_COUNT_S))
        return found.hits, found.next is None

    async def _letter(self, number: Number) -> Letter:
        log = await self.book.log()
        async for letter in LetterBox(log, self.app_id).find(LetterQuery(frozenset({number}), settled=True)):
            return letter
        raise UnknownTopicError(f"there is no dead letter {number}", hint="/api/dlq/letters lists them")


def _ignored(_: int) -> None:
    """Tell nobody how far a run is: who asked waits for its end."""


def _wanted(query: Mapping[str, str]) -> _Wanted:
    settled = query.get("settled", "no")
    if settled not in ("no", "yes"):
        raise bad_parameter("settled", settled, "yes or no")
    chosen = LetterQuery(
        topic=query.get("topic"),
        agent=query.get("agent"),
        error=query.get("error"),
        since_ms=time_of(query, "since"),
        settled=settled == "yes",
    )
    return _Wanted(chosen, query.get("reason"))


def _chosen(numbers: Sequence[str], all_: Chosen | None) -> LetterQuery:
    """Return which letters a request means. Raises: ConfigurationError."""
    if all_ is None and 0 < len(numbers) <= _NUMBERS_MAX:
        return LetterQuery(frozenset(map(Number.parse, numbers)))
    if all_ is not None and not numbers and any((all_.topic, all_.agent, all_.error)):
        return LetterQuery(topic=all_.topic, agent=all_.agent, error=all_.error)
    raise ConfigurationError(
        f"which letters? expected from 1 to {_NUMBERS_MAX:,} numbers, or all of a topic, an agent, or an error",
        hint='write {"numbers": ["0:17"]} or {"all": {"agent": "…"}}',
    )


def _edited(letter: Letter, edit: RecordEdit, topic: KnownTopic) -> Edit:
    """Return what a letter's record is to hold. Raises: ConfigurationError for what the topic's codecs do not read."""
    key = letter.key if edit.key is msgspec.UNSET else _bytes(edit.key, topic.write_key)
    value = letter.value if edit.value is msgspec.UNSET else _bytes(edit.value, topic.write_value)
    headers = letter.headers
    if edit.headers is not msgspec.UNSET:
        headers = tuple((one.name, None if one.value is None else one.value.encode()) for one in edit.headers)
    return Edit(key, value, headers)


def _bytes(given: Bytes | None, write: Callable[[str], bytes]) -> bytes | None:
    if given is None:
        return None
    if (given.text is None) == (given.hex is None):
        raise ConfigurationError("expected text, or hex, and not both", hint='write {"text": "…"} or {"hex": "00ff"}')
    if given.text is not None:
        return write(given.text)
    try:
        return bytes.fromhex(given.hex or "")
    except ValueError as error:
        raise ConfigurationError(f"not hexadecimal: {error}", hint='two digits a byte, as in "00ff"') from error


def _told(settled: Settled) -> Reply:
    before = [{"number": str(number), **msgspec.to_builtins(mark)} for number, mark in sorted(settled.before.items())]
    return Reply(
        {
            "settled": settled.count,
            "by_topic": dict(settled.by_topic),
            "missing": [str(number) for number in settled.missing],
            "before": before,
        }
    )


def _bars(times_ms: Sequence[int]) -> list[dict[str, int]]:
    """Return how many times there are in each part of the time they span, the earliest first."""
    if not times_ms:
        return []
    first = min(times_ms)
    width = max(1_000, -(-(max(times_ms) - first + 1) // _BARS))
    counts = Counter((time_ms - first) // width for time_ms in times_ms)
    return [
        {"since_ms": first + bar * width, "until_ms": first + (bar + 1) * width, "count": counts[bar]}
        for bar in range(max(counts) + 1)
    ]
