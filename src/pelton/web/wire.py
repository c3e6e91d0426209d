"""What workers say to each other about tables: requests for rows of partitions, and the rows, as bytes.

Keys and values go as the stores have them, so that nothing is decoded twice; who was asked by a client decodes them.
"""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = [
    "ROWS_PATH",
    "PartitionRows",
    "Past",
    "Row",
    "RowsRequest",
    "Size",
    "Trouble",
    "WorkerRows",
    "decode_request",
    "decode_rows",
]

#: Where a worker answers others.
ROWS_PATH = "/api/rows"

What = Literal["value", "windows", "scan", "versions", "size"]


class Row(msgspec.Struct, frozen=True, array_like=True):
    """A row of a table.

    key: as it is stored, with the window's start before it in a windowed table. value: None for a deletion, in
    versions. since_ms, until_ms: when a version held; None where nobody knows, or it still does.
    """

    key: bytes
    value: bytes | None
    since_ms: int | None = None
    until_ms: int | None = None


class Past(msgspec.Struct, frozen=True, array_like=True):
    """How far the history of a partition reaches; see `pelton.state.versions.VersionCache`.

    oldest_ms: no earlier time can be asked for. first_ms: nothing is known to have been replaced before it.
    latest_ms: the time of the newest version.
    """

    oldest_ms: int
    first_ms: int
    latest_ms: int


class Size(msgspec.Struct, frozen=True, array_like=True):
    """About how much a partition of a table holds; see `pelton.state.contract.TableSize`.

    latest_ms: in a windowed table, when the latest window of any key begins. past: in one with history that has any.
    """

    keys: int
    bytes: int
    latest_ms: int | None = None
    past: Past | None = None


class RowsRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Which rows of which partitions are wanted.

    app: the application's id; a worker of another one answers nothing.
    what: the value of a key, its windows, its versions, all keys in a range; or no row, but the partitions' sizes.
    key: as it is encoded, without a window. starts: where each partition's rows begin. end: where they all end.
    at_ms: the time of which the rows are wanted; the present when None.
    limit, bytes_max: how many rows, and how much of them, a partition may give at most; at least one.
    standby: whether a copy may answer; only for partitions that are not the worker's own.
    """

    app: str
    table: str
    what: What
    starts: dict[int, bytes]
    key: bytes = b""
    end: bytes | None = None
    at_ms: int | None = None
    limit: int = 1
    bytes_max: int = 4 * 1024 * 1024
    standby: bool = False


class Trouble(msgspec.Struct, frozen=True):
    """Why a request cannot be answered, by anybody: a time that is too far back, for example.

    status: as HTTP says it.
    """

    status: int
    error: str
    hint: str | None = None


class PartitionRows(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of one partition, in order, and what they are worth.

    role: owner, standby or replica. behind, heard_s: see `Holding`. next: where the rows behind these begin; None when
    these are all. size: where that was asked for.
    """

    number: int
    role: Literal["owner", "standby", "replica"]
    rows: list[Row]
    next: bytes | None = None
    behind: int = 0
    heard_s: float = 0.0
    worker: str = ""
    size: Size | None = None


class WorkerRows(msgspec.Struct, frozen=True, kw_only=True):
    """A worker's answer: the partitions that it could answer for, and why not for the others."""

    partitions: list[PartitionRows] = msgspec.field(default_factory=list[PartitionRows])
    missing: dict[int, str] = msgspec.field(default_factory=dict[int, str])
    trouble: Trouble | None = None


decode_request = msgspec.msgpack.Decoder(RowsRequest).decode
decode_rows = msgspec.msgpack.Decoder(WorkerRows).decode
