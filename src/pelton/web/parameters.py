"""What a request for table rows may say in its address, and what it means.

Keys are text, read by the table's key codec: as JSON where keys are JSON (`42`, `["a",1]`), else as they are. Where
JSON cannot be read, or gives what the table's keys are not, the text is taken as a string, so `alice` need not be
written with quotes.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal, Protocol, overload

import msgspec

from pelton.errors import ConfigurationError
from pelton.web.columns import Column, ColumnType
from pelton.web.queries import ROWS_MAX, QueriedTable, Reach
from pelton.window import as_ms, window_key_prefix

__all__ = [
    "KeyRange",
    "ScanParameters",
    "absence_of",
    "bad_parameter",
    "cursor_text",
    "key_of",
    "known",
    "limit_of",
    "reach_of",
    "scan_parameters",
    "time_of",
    "whole_of",
]

_PAGE_ROWS = 100
#: A time in milliseconds that a window's start may be, with room for a window's length.
_TIME_MS_MAX = 1 << 60

_Query = Mapping[str, str]


class KeyedTable(QueriedTable, Protocol):
    """A table whose keys come as text.

    help: what it is about. keys: how they are stored: as text, as JSON, or otherwise. key_type, value_type: what they
    are. columns: the fields of its values, None where these have none.
    """

    help: str
    keys: Literal["text", "json", "other"]
    key_type: ColumnType
    value_type: ColumnType
    columns: Sequence[Column] | None

    def read_key(self, text: bytes, /) -> object:
        """Return the key that a text means, as JSON unless keys are text. Raises: Exception, when it means none."""
        ...


@dataclass(frozen=True, slots=True)
class KeyRange:
    """Stored keys: start <= key < end."""

    start: bytes = b""
    end: bytes | None = None


@dataclass(frozen=True, slots=True)
class ScanParameters:
    """What a scan asks for.

    after: the cursor's places. compare: whether the rows of a time are wanted beside those of now.
    """

    range: KeyRange
    limit: int
    reach: Reach
    at_ms: int | None = None
    after: Mapping[int, bytes] | None = None
    compare: bool = False


def known(query: _Query, names: Collection[str]) -> _Query:
    """Return the parameters. Raises: ConfigurationError for one that is unknown: a slip must not give other rows."""
    for name in query:
        if name not in names:
            close = get_close_matches(name, names, n=1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(sorted(names)) or 'none'}"
            raise ConfigurationError(f"there is no parameter {name[:80]!r} here", hint=hint)
    return query


def key_of(table: KeyedTable, text: str, *, as_json: bool = False) -> object:
    """Return the key that text means. Raises: ConfigurationError.

    as_json: whether the text is JSON, also where the table's keys are text.
    """
    failed: Exception | None = None
    for candidate in _candidates(table, text, as_json=as_json):
        try:
            return table.read_key(candidate)
        except Exception as error:  # whatever a codec raises
            failed = error
    raise ConfigurationError(
        f'table "{table.name}" has no key like {text[:80]!r}: {failed}', hint="write it as the table's keys are written"
    )


def _candidates(table: KeyedTable, text: str, *, as_json: bool) -> list[bytes]:
    """Return what the text may stand for, as the key codec reads it, the likelier first."""
    try:
        data = text.encode()
        if not as_json:
            return [data] if table.keys == "text" else [data, msgspec.json.encode(text)]
        return [msgspec.json.decode(data, type=str).encode()] if table.keys == "text" else [data]
    except UnicodeEncodeError as error:
        raise ConfigurationError(f"the key is not text: {error}", hint="write it in UTF-8") from error
    except msgspec.MsgspecError as error:
        raise ConfigurationError(f"the key is not text in JSON: {error}", hint='write it in quotes: "alice"') from error


def time_of(query: _Query, name: str) -> int | None:
    """Return a time, in milliseconds: seconds since the epoch, or ISO 8601. Raises: ConfigurationError."""
    text = query.get(name)
    if text is None:
        return None
    try:
        time_ms = as_ms(float(text)) if _is_number(text) else as_ms(text)
    except (ValueError, OverflowError) as error:
        raise bad_parameter(name, text, "seconds since the epoch, or a time like 2026-07-01T12:00:00Z") from error
    if not -_TIME_MS_MAX < time_ms < _TIME_MS_MAX:
        raise bad_parameter(name, text, "a time of this era")
    return time_ms


def reach_of(query: _Query) -> Reach:
    """Return how far an answer may go. Raises: ConfigurationError."""
    return Reach(standby=_allowed(query, "standby", "allow"), partial=_allowed(query, "partial", "never"))


def absence_of(query: _Query) -> bool:
    """Return whether that nothing is there is an answer like any other. Raises: ConfigurationError."""
    return _allowed(query, "absent", "never")


def scan_parameters(table: KeyedTable, query: _Query) -> ScanParameters:
    """Return what a scan asks for. Raises: ConfigurationError."""
    at_ms = time_of(query, "at")
    cursor = query.get("cursor")
    return ScanParameters(
        _window_rows(table, query) if table.size_ms is not None else _key_rows(table, query),
        limit_of(query),
        reach_of(query),
        at_ms,
        None if cursor is None else _places(cursor),
        _comparing(query),
    )


def limit_of(query: _Query) -> int:
    """Return how many rows are wanted at most. Raises: ConfigurationError."""
    return whole_of(query, "limit", _PAGE_ROWS, 1, ROWS_MAX)


@overload
def whole_of(query: _Query, name: str, default: int, minimum: int, maximum: int) -> int: ...


@overload
def whole_of(query: _Query, name: str, default: None, minimum: int, maximum: int) -> int | None: ...


def whole_of(query: _Query, name: str, default: int | None, minimum: int, maximum: int) -> int | None:
    """Return a whole number. Raises: ConfigurationError."""
    text = query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and minimum <= int(text) <= maximum):
        raise bad_parameter(name, text, f"a number from {minimum:,} to {maximum:,}")
    return int(text)


def cursor_text(places: Mapping[int, bytes] | None) -> str | None:
    """Return where the next page begins, for an address; None when there is none."""
    return None if places is None else base64.urlsafe_b64encode(msgspec.msgpack.encode(places)).decode().rstrip("=")


def _places(cursor: str) -> dict[int, bytes]:
    try:
        data = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        return msgspec.msgpack.decode(data, type=dict[int, bytes])
    except (binascii.Error, ValueError, msgspec.MsgspecError) as error:
        raise bad_parameter("cursor", cursor, 'the "next" of the page before') from error


def _window_rows(table: KeyedTable, query: _Query) -> KeyRange:
    _refuse(table, query, ("prefix", "from", "to"), "its windows are in order of time: ask for since= and until=")
    since_ms, until_ms = time_of(query, "since"), time_of(query, "until")
    assert table.size_ms is not None
    start = b"" if since_ms is None else window_key_prefix(since_ms - table.size_ms + 1)
    return KeyRange(start, None if until_ms is None else window_key_prefix(until_ms))


def _key_rows(table: KeyedTable, query: _Query) -> KeyRange:
    _refuse(table, query, ("since", "until"), "it has no windows: ask for prefix=, or from= and to=")
    if "prefix" in query:
        _refuse(table, query, ("from", "to"), "prefix= says it all")
        return _of_prefix(_text_prefix(table, query["prefix"]))
    start, end = query.get("from"), query.get("to")
    return KeyRange(
        b"" if start is None else table.encode_key(key_of(table, start)),
        None if end is None else table.encode_key(key_of(table, end)),
    )


def _text_prefix(table: KeyedTable, text: str) -> bytes:
    """Return what the stored keys begin with whose text begins so: within the quotes, where keys are JSON."""
    if table.keys == "other":
        _refuse(table, {"prefix": text}, ("prefix",), "its keys are not stored as text")
    try:
        return msgspec.json.encode(text)[:-1] if table.keys == "json" else text.encode()
    except UnicodeEncodeError as error:
        raise bad_parameter("prefix", text, "text") from error


def _of_prefix(prefix: bytes) -> KeyRange:
    """Return the range of all keys that begin so."""
    stem = prefix.rstrip(b"\xff")
    return KeyRange(prefix, stem[:-1] + bytes([stem[-1] + 1]) if stem else None)


def _allowed(query: _Query, name: str, default: str) -> bool:
    given = query.get(name, default)
    if given not in ("allow", "never"):
        raise bad_parameter(name, given, "allow or never")
    return given == "allow"


def _comparing(query: _Query) -> bool:
    given = query.get("compare", "never")
    if given not in ("now", "never"):
        raise bad_parameter("compare", given, "now or never")
    if given == "now" and "at" not in query:
        raise ConfigurationError("compare= does not fit", hint="say with what: at=")
    if given == "now" and query.get("partial") == "allow":
        raise ConfigurationError("compare= does not fit partial=", hint="what is left out would seem to have changed")
    return given == "now"


def _refuse(table: KeyedTable, query: _Query, names: tuple[str, ...], hint: str) -> None:
    for name in names:
        if name in query:
            raise ConfigurationError(f'table "{table.name}": {name}= does not fit', hint=hint)


def _is_number(text: str) -> bool:
    return text.lstrip("+-").replace(".", "", 1).isdecimal()


def bad_parameter(name: str, given: str, expected: str) -> ConfigurationError:
    """Return the error of a parameter that is not as it should be."""
    return ConfigurationError(f"{name}= {given[:80]!r}: expected {expected}", hint="/api/openapi.json describes it all")
