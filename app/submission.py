"""What a client may post as transactions, and how it is told what is wrong with it."""

from __future__ import annotations

import re

import msgspec

from app.models import Transaction

__all__ = ["Rejected", "parse_json", "parse_lines"]

_one = msgspec.json.Decoder(Transaction)
_many = msgspec.json.Decoder(list[Transaction])

#: What msgspec raises for bytes that are no transactions; RecursionError is for those nested too deeply.
_BAD = (msgspec.DecodeError, RecursionError)

#: Where msgspec says that a value is wrong ("... - at `$[3].amount`"), and how it names a field that is missing.
_PATH = re.compile(r" - at `\$(?:\[(?P<index>\d+)\])?(?:\.(?P<field>\w+))?.*`$")
_MISSING = re.compile(r"missing required field `(?P<field>\w+)`")


class Rejected(Exception):
    """A body that does not hold transactions.

    field: the field at fault; index: its place in an array, from 0; line: its line, from 1. None where unknown.
    """

    def __init__(
        self, message: str, *, field: str | None = None, index: int | None = None, line: int | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.index = index
        self.line = line

    @property
    def where(self) -> dict[str, str | int]:
        """What is known of field, index and line."""
        named: dict[str, str | int | None] = {"field": self.field, "index": self.index, "line": self.line}
        return {name: value for name, value in named.items() if value is not None}


def parse_json(body: bytes) -> list[Transaction]:
    """Return the transactions of a JSON object or array. Raises: Rejected."""
    try:
        return _many.decode(body) if body.lstrip().startswith(b"[") else [_one.decode(body)]
    except _BAD as error:
        raise _rejected(error) from error


def parse_lines(body: bytes) -> list[Transaction]:
    """Return the transactions of NDJSON, one a line; blank lines are skipped. Raises: Rejected."""
    found: list[Transaction] = []
    for number, line in enumerate(body.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            found.append(_one.decode(line))
        except _BAD as error:
            raise _rejected(error, line=number) from error
    return found


def _rejected(error: Exception, *, line: int | None = None) -> Rejected:
    message = "nested too deeply" if isinstance(error, RecursionError) else str(error)
    path, missing = _PATH.search(message), _MISSING.search(message)
    index = path["index"] if path else None
    field = missing["field"] if missing else path["field"] if path else None
    return Rejected(message, field=field, index=int(index) if index else None, line=line)
