"""Records to look at: bytes as text where they are text, in hexadecimal where they are not, and decoded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from pelton.batch import Headers
from pelton.web.records import Record
from pelton.web.topics import KnownTopic, Shown

__all__ = ["bytes_json", "headers_json", "hex_rows", "named", "pretty", "record_json", "shown_json", "whole_json"]

#: What a list shows of a value, and what the page of one record shows.
BRIEF_BYTES = 600
WHOLE_BYTES = 64 * 1024
_HEX_BYTES = 4 * 1024
_HEX_ROW = 16
#: Larger values are not decoded: nobody reads them, and the worker has other things to do.
DECODED_BYTES_MAX = 1024 * 1024
_HEADERS_MAX = 100


def bytes_json(data: bytes | None, size: int | None, *, limit: int) -> dict[str, Any] | None:
    """Return bytes as text where they are UTF-8, else in hexadecimal; None stays None.

    size: how many bytes there are, of which data may be the beginning. limit: how many are shown.
    """
    if data is None:
        return None
    size = len(data) if size is None else size
    part = data[:limit]
    text = _text(part, cut=len(part) < size)
    return {
        "bytes": size,
        "text": text,
        "hex": None if text is not None else part[:_HEX_BYTES].hex(),
        "cut": len(part) < size,
    }


def _text(data: bytes, *, cut: bool) -> str | None:
    """Return data as UTF-8, without a character that was cut in two at its end; None when it is none."""
    for end in range(len(data), max(len(data) - 4, -1), -1):
        try:
            return data[:end].decode()
        except UnicodeDecodeError as error:
            if not cut or error.start < len(data) - 4:
                return None
    return None


def named(name: str) -> str:
    """Return a header's name with the bytes that are not UTF-8 written out."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def headers_json(headers: Headers, *, limit: int) -> list[dict[str, Any]]:
    """Return headers in their order."""
    return [
        {"name": named(name), "value": bytes_json(value, None, limit=limit)} for name, value in headers[:_HEADERS_MAX]
    ]


def record_json(record: Record, topic: KnownTopic) -> dict[str, Any]:
    """Return a record as a list shows it: the beginning of what it holds.

    Values that are text are left as they are; others are decoded, so that there is something to read.
    """
    value = bytes_json(record.value, record.value_bytes, limit=BRIEF_BYTES)
    key = bytes_json(record.key, None, limit=BRIEF_BYTES)
    found = {
        "partition": record.partition,
        "offset": record.offset,
        "timestamp_ms": record.timestamp_ms,
        "key": key,
        "value": value,
        "headers": [named(name) for name, _ in record.headers[:_HEADERS_MAX]],
        "bytes": record.nbytes,
    }
    for name, told, data, show in (
        ("key", key, record.key, topic.show_key),
        ("value", value, record.value, topic.show_value),
    ):
        if told is not None and told["text"] is None and data is not None and not (name == "value" and record.cut):
            told["text"] = _brief(show(data))
    return found


def _brief(shown: Shown) -> str | None:
    if shown.error is not None or not shown.codec:
        return None
    return msgspec.json.encode(shown.value).decode(errors="replace")[:BRIEF_BYTES]


def whole_json(key: bytes | None, value: bytes | None, headers: Headers, topic: KnownTopic) -> dict[str, Any]:
    """Return what one record holds, raw, decoded as its topic says, and as a dump."""
    return {
        "key": bytes_json(key, None, limit=WHOLE_BYTES),
        "value": bytes_json(value, None, limit=WHOLE_BYTES),
        "key_decoded": shown_json(key, topic, key=True),
        "value_decoded": shown_json(value, topic, key=False),
        "key_dump": list(hex_rows(key)),
        "value_dump": list(hex_rows(value)),
        "headers": headers_json(headers, limit=WHOLE_BYTES),
    }


def shown_json(data: bytes | None, topic: KnownTopic, *, key: bool) -> dict[str, Any] | None:
    """Return bytes decoded: the value, and as text to read; or the error. None for none."""
    if data is None:
        return None
    if len(data) > DECODED_BYTES_MAX:
        return {"codec": "", "value": None, "text": None, "error": f"not decoded: it has {len(data):,} bytes"}
    shown = topic.show_key(data) if key else topic.show_value(data)
    text = pretty(shown.value) if shown.codec and shown.error is None else None
    return {
        "codec": shown.codec,
        "value": shown.value,
        "text": None if text is None else text[:WHOLE_BYTES],
        "error": shown.error,
    }


def pretty(value: Any) -> str:
    """Return a value that JSON can hold over several lines."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode(errors="replace")


def hex_rows(data: bytes | None) -> Sequence[str]:
    """Return the beginning of bytes as a dump: offset, hexadecimal, ASCII."""
    rows: list[str] = []
    for start in range(0, min(len(data or b""), _HEX_BYTES), _HEX_ROW):
        row = (data or b"")[start : start + _HEX_ROW]
        ascii_ = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        rows.append(f"{start:08x}  {row.hex(' '):<{3 * _HEX_ROW}} {ascii_}")
    return rows
