"""How any key of any table is written in an address, and read from one.

A key is a segment of the path: text, or JSON where the table's keys are not text. Two kinds of keys cannot be written
so. A browser takes the segments `.` and `..` for directories, however they are quoted, and an empty one is none: text
like that is written as JSON, with `keys=json`. And bytes that are no text, or whose text would be read as another key,
are written as they are stored, in base64, with `keys=stored` and the number of their partition. A row that an agent
wrote into another partition than its key belongs to is found with `partition=`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from pelton.errors import ConfigurationError
from pelton.log.partitioner import partition_for
from pelton.web.parameters import KeyedTable, bad_parameter, key_of, whole_of
from pelton.web.queries import StoredKey
from pelton.window import window_key_suffix

__all__ = ["address_of", "asked_key", "shown_key"]

#: What browsers take for a directory, or for nothing.
_NO_SEGMENTS = ("", ".", "..")
_PARTITION_MAX = 1_000_000


def asked_key(table: KeyedTable, text: str, query: Mapping[str, str]) -> object:
    """Return the key that an address asks for: a key of the table, or a `StoredKey`. Raises: ConfigurationError."""
    keys = query.get("keys", "table")
    partition = whole_of(query, "partition", None, 0, _PARTITION_MAX)
    if keys == "stored":
        if partition is None:
            raise ConfigurationError("keys=stored without a partition", hint="say which, with partition=")
        return StoredKey(_stored(text), partition)
    if keys not in ("table", "json"):
        raise bad_parameter("keys", keys, "table, json or stored")
    key = key_of(table, text, as_json=keys == "json")
    return key if partition is None else StoredKey(table.encode_key(key), partition)


def shown_key(table: KeyedTable, key: object, *, found: bool) -> Any:
    """Return a key that was asked for, as an answer shows it.

    found: whether the table has it. Bytes that somebody sent are decoded by a serializer like pickle, which runs what
    it reads, only if they are the table's own.
    """
    if not isinstance(key, StoredKey):
        return key
    if found or table.keys != "other":
        return table.decode_key(key.stored)
    return {"base64": base64.b64encode(key.stored).decode()}


def address_of(table: KeyedTable, stored: bytes, partition: int, count: int) -> str:
    """Return the address of a row's key, from the root on; whoever asks for it gets that row.

    stored: its key as it is stored. partition: where it lies. count: how many partitions the table has.
    """
    data = stored if table.size_ms is None else window_key_suffix(stored)
    segment, parameters = _written(table, data)
    key: object = None
    if segment is not None:
        key = key_of(table, segment, as_json="keys" in parameters)
        home = 0 if count == 1 else partition_for(table.route_key(key), count)
        if home != partition:
            parameters["partition"] = str(partition)
    else:
        segment = base64.urlsafe_b64encode(data).decode().rstrip("=") or "-"
        parameters = {"keys": "stored", "partition": str(partition)}
    query = "&".join(f"{name}={value}" for name, value in parameters.items())
    return f"/api/tables/{quote(table.name, safe='')}/{quote(segment, safe='')}" + (f"?{query}" if query else "")


def _written(table: KeyedTable, data: bytes) -> tuple[str | None, dict[str, str]]:
    """Return the segment of a key, and the parameters that it takes; no segment where it would be read otherwise."""
    try:
        text = data.decode() if table.keys != "other" else msgspec.json.encode(table.decode_key(data)).decode()
        if text not in _NO_SEGMENTS and table.encode_key(key_of(table, text)) == data:
            return text, {}
        text = msgspec.json.encode(text).decode()
        if table.encode_key(key_of(table, text, as_json=True)) == data:
            return text, {"keys": "json"}
    except Exception:  # whatever a codec raises
        return None, {}
    return None, {}


def _stored(text: str) -> bytes:
    if text == "-":  # an empty key: a segment may not be empty
        return b""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise bad_parameter("the key", text, "base64url, as `keys=stored` says") from error
