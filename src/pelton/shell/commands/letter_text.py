"""Dead letters as text and as JSON, for people and for programs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pprint import pformat
from typing import Any

from pelton.runtime.letters import Letter
from pelton.shell.commands.columns import columns_text
from pelton.web.letter_json import summary_json
from pelton.window import iso_time

__all__ = ["Decoder", "counts_text", "letter_json", "letter_text", "summary_json", "table_text"]

#: Turns a letter's key and value into what its topic declares, or tells why that cannot be.
Decoder = Callable[[Letter], Mapping[str, str]]

_HEX_MAX = 512
_HEX_ROW = 16
_TEXT_MAX = 4_000
_ERROR_WIDTH = 72
_COLUMNS = ("number", "time", "topic", "partition", "offset", "agent", "error")


def table_text(letters: Sequence[Letter]) -> str:
    """Return one line a letter, under headings."""
    return columns_text([_COLUMNS, *(_row(letter) for letter in letters)])


def _row(letter: Letter) -> tuple[str, ...]:
    state = f"[{letter.mark.how}] " if letter.mark is not None else ""
    error = state + (f"{letter.result}: " if letter.result else "") + " ".join(letter.error.split())
    return (
        str(letter.number),
        iso_time(letter.timestamp_ms),
        letter.topic or "?",
        str(letter.partition),
        str(letter.offset),
        letter.agent or "?",
        error if len(error) <= _ERROR_WIDTH else error[: _ERROR_WIDTH - 1] + "…",
    )


def counts_text(counts: Counter[str], heading: str) -> str:
    """Return how many letters there are of each kind, the most first."""
    lines = (f"{count:>9,}  {name}" for name, count in counts.most_common())
    return "\n".join([heading, *lines])


def letter_json(letter: Letter, decode: Decoder) -> dict[str, Any]:
    """Return a letter with its contents: bytes in hexadecimal, beside their text where they are UTF-8."""
    return summary_json(letter) | {
        "traceback": letter.traceback,
        "headers": [{"name": _named(name), **_bytes_json(value)} for name, value in letter.headers],
        "key": _bytes_json(letter.key),
        "value": _bytes_json(letter.value),
        "decoded": dict(decode(letter)),
    }


def _bytes_json(data: bytes | None) -> dict[str, Any]:
    if data is None:
        return {"hex": None, "text": None}
    return {"hex": data.hex(), "text": _utf8(data)}


def letter_text(letter: Letter, decode: Decoder) -> str:
    """Return everything about a letter, for reading."""
    mark = letter.mark
    offset = f"the {letter.result}" if letter.result else f"offset {letter.offset}"
    parts = [
        f"dead letter {letter.number}",
        f"  time       {iso_time(letter.timestamp_ms)}",
        f"  from       {letter.topic or '?'} partition {letter.partition} {offset}",
        f"  agent      {letter.agent or '?'} ({letter.kind or '?'} error, {letter.attempts} attempt(s))",
        f"  settled    {'no' if mark is None else _mark_text(mark.how, mark.time_ms, mark.to or mark.reason)}",
        *_section("error", letter.error),
        *_section("traceback", letter.traceback),
        *_section("headers", "\n".join(f"{_named(name)}: {_shown(value)}" for name, value in letter.headers) or "none"),
    ]
    for name, text in decode(letter).items():
        parts += _section(f"{name}, decoded", text[:_TEXT_MAX])
    parts += _section("key", _raw(letter.key))
    parts += _section("value", _raw(letter.value))
    return "\n".join(parts)


def _mark_text(how: str, time_ms: int, more: str) -> str:
    return f"{how} at {iso_time(time_ms)}" + (f": {more}" if more else "")


def _section(title: str, text: str) -> Iterable[str]:
    return [f"  {title}", *(f"    {_printable(line)}" for line in text.splitlines())] if text else []


def _named(name: str) -> str:
    """Return a header's name with the bytes that are not UTF-8 written out."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _shown(value: bytes | None) -> str:
    if value is None:
        return "null"
    text = _utf8(value)
    return json.dumps(text, ensure_ascii=False) if text is not None else value.hex()


def _raw(data: bytes | None) -> str:
    """Return bytes as their length, their text where they are UTF-8, and a hexadecimal dump of their beginning."""
    if data is None:
        return "null"
    text = _utf8(data)
    lines = [f"{len(data):,} bytes" + (", not UTF-8" if text is None else "")]
    lines += text[:_TEXT_MAX].splitlines() if text is not None else []
    for start in range(0, min(len(data), _HEX_MAX), _HEX_ROW):
        row = data[start : start + _HEX_ROW]
        ascii_ = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        lines.append(f"{start:08x}  {row.hex(' '):<{3 * _HEX_ROW}} {ascii_}")
    if len(data) > _HEX_MAX:
        lines.append(f"… {len(data) - _HEX_MAX:,} bytes more; --json shows all")
    return "\n".join(lines)


def _utf8(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def _printable(line: str) -> str:
    """Return a line that cannot steer a terminal: a record may hold escape sequences."""
    return "".join(char if char.isprintable() or char == "\t" else f"\\x{ord(char):02x}" for char in line)


def pretty(value: object) -> str:
    """Return a decoded value over several lines."""
    return pformat(value, width=100, sort_dicts=False)
