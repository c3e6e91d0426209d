"""The OpenAPI document of `/api/`: what can be asked, and what may come back. Version 3.1 of the specification."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

from pelton.web.columns import ColumnType
from pelton.web.exporting import CONTENT_TYPES, FORMATS
from pelton.web.openapi_parts import (
    ANY,
    BOOLEAN,
    INTEGER,
    NULLABLE_INTEGER,
    NULLABLE_STRING,
    STRING,
    array_of,
    in_path,
    nullable,
    object_of,
    operation,
    ref,
)
from pelton.web.openapi_topics import TOPIC_PATHS, TOPIC_SCHEMAS
from pelton.web.queries import ROWS_MAX
from pelton.web.statements import SQL_CHARS_MAX, SQL_ROWS, SQL_ROWS_MAX

__all__ = [
    "CHANGELOG_PARAMETERS",
    "EXPORT_PARAMETERS",
    "KEY_PARAMETERS",
    "OFFSET_MAX",
    "PLACES_PARAMETERS",
    "SCAN_PARAMETERS",
    "SIZES_PARAMETERS",
    "SQL_PARAMETERS",
    "VERSIONS_PARAMETERS",
    "document",
]

_TIME = "A time: seconds since the epoch, or ISO 8601 (without a zone, of UTC)."
_CHOICE: Mapping[str, Any] = {"type": "string", "enum": ["allow", "never"]}

OFFSET_MAX = (1 << 63) - 1

#: name -> what it means, and its schema.
_QUERY: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "at": (f"As it was then; for tables with history. {_TIME}", STRING),
    "compare": (
        "Beside the rows of `at`, those of now, and how they differ; owners answer for both.",
        {"type": "string", "enum": ["now", "never"], "default": "never"},
    ),
    "prefix": ("Keys that begin so.", STRING),
    "from": ("Keys from this one on.", STRING),
    "to": ("Keys before this one.", STRING),
    "since": (f"Windows that end after this time. {_TIME}", STRING),
    "until": (f"Windows that begin before this time. {_TIME}", STRING),
    "limit": ("How many at most.", {"type": "integer", "minimum": 1, "maximum": ROWS_MAX, "default": 100}),
    "cursor": ("`next` of the page before.", STRING),
    "standby": ("Whether a copy may answer where the owner cannot.", {**_CHOICE, "default": "allow"}),
    "absent": ("Whether that nothing is there is an answer; else it is 404.", {**_CHOICE, "default": "never"}),
    "partial": ("Whether partitions may be left out that nobody can answer for.", {**_CHOICE, "default": "never"}),
    "keys": (
        "How the key is written in the path: as the table's keys are, as JSON, or as it is stored, in base64url.",
        {"type": "string", "enum": ["table", "json", "stored"], "default": "table"},
    ),
    "partition": (
        "The partition that the key is looked for in, where an agent wrote it elsewhere than keys like it go.",
        {"type": "integer", "minimum": 0},
    ),
    "before": (
        "Changes before this offset: `next` of the answer before.",
        {"type": "integer", "minimum": 0, "maximum": OFFSET_MAX},
    ),
}

_OF_A_KEY = frozenset({"keys", "partition"})
SCAN_PARAMETERS = frozenset(_QUERY) - _OF_A_KEY - {"before", "absent"}
KEY_PARAMETERS = _OF_A_KEY | {"at", "since", "until", "limit", "standby", "absent"}
VERSIONS_PARAMETERS = _OF_A_KEY | {"limit", "absent"}
CHANGELOG_PARAMETERS = _OF_A_KEY | {"before", "limit"}
PLACES_PARAMETERS = _OF_A_KEY
_RANGE_PARAMETERS = SCAN_PARAMETERS - {"limit", "cursor", "partial", "compare"}
EXPORT_PARAMETERS = _RANGE_PARAMETERS | {"format"}
SIZES_PARAMETERS = frozenset({"table"})
SQL_PARAMETERS = frozenset({"query", "at", "limit", "format"})


def document(tables: Iterable[str], version: str) -> dict[str, Any]:
    """Return the document of an application with these tables. version: pelton's."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tables, topics and dead letters",
            "version": version,
            "description": "What the application keeps and the log holds. Whichever worker is asked answers for all.",
        },
        "paths": {**_paths(sorted(tables)), **TOPIC_PATHS},
        "components": {
            "schemas": {**_SCHEMAS, **TOPIC_SCHEMAS},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _paths(tables: Sequence[str]) -> dict[str, Any]:
    name = in_path("name", "The table.", {"type": "string", "enum": list(tables)} if tables else STRING)
    key = in_path("key", "The key: text, or JSON where the table's keys are not text.", {**STRING, "minLength": 1})
    return {
        "/api/tables": {"get": operation("tables", "The tables", [], "Tables", ())},
        "/api/tables/{name}": {
            "get": operation("rows", "Rows of a table", [name, *_in_query(SCAN_PARAMETERS)], "Page", _REFUSALS)
        },
        "/api/tables/{name}/{key}": {
            "get": operation("key", "What a key holds", [name, key, *_in_query(KEY_PARAMETERS)], "Key", _REFUSALS)
        },
        "/api/tables/{name}/{key}/versions": {
            "get": operation(
                "versions", "What a key held", [name, key, *_in_query(VERSIONS_PARAMETERS)], "Versions", _REFUSALS
            )
        },
        "/api/tables/{name}/{key}/changelog": {
            "get": operation(
                "changelog",
                "What was written to a key, newest first, as far as its changelog still has it",
                [name, key, *_in_query(CHANGELOG_PARAMETERS)],
                "Changes",
                _REFUSALS,
            )
        },
        "/api/tables/{name}/{key}/places": {
            "get": operation(
                "places", "The workers that have a key", [name, key, *_in_query(PLACES_PARAMETERS)], "Places", _REFUSALS
            )
        },
        "/api/sizes": {
            "get": operation(
                "sizes",
                "About how much each table holds, where, and how far its history reaches",
                [_in_query_as("table", "This table alone.", name["schema"])],
                "Sizes",
                _REFUSALS[:1],
            )
        },
        "/api/exports/{name}": {"get": _export(name)},
        "/api/sql": {"get": _sql()},
    }


def _export(name: Mapping[str, Any]) -> dict[str, Any]:
    """Describe rows as a file; they come from owners only, when nobody says otherwise."""
    known = [one for one in _in_query(_RANGE_PARAMETERS) if one["name"] != "standby"]
    owners = _in_query_as("standby", _QUERY["standby"][0], {**_CHOICE, "default": "never"})
    format_ = _in_query_as("format", "What kind of file.", {"type": "string", "enum": list(FORMATS), "default": "csv"})
    described = operation("export", "Rows as a file", [name, *known, owners, format_], "Page", _REFUSALS)
    described["responses"]["200"] = {"description": "The file: all rows, or it is broken off.", "content": _FILES}
    return described


def _sql() -> dict[str, Any]:
    text = {"type": "string", "minLength": 1, "maxLength": SQL_CHARS_MAX}
    rows = {"type": "integer", "minimum": 1, "maximum": SQL_ROWS_MAX, "default": SQL_ROWS}
    formats = {"type": "string", "enum": ["json", *FORMATS], "default": "json"}
    parameters = [
        {**_in_query_as("query", "A SELECT, as polars' SQL has it.", text), "required": True},
        _in_query_as("at", _QUERY["at"][0], STRING),
        _in_query_as("limit", "How many rows at most, as JSON.", rows),
        _in_query_as("format", "As JSON, or all of it as a file.", formats),
    ]
    described = operation("sql", "What a statement makes of the tables", parameters, "Answer", _REFUSALS)
    described["responses"]["200"]["content"] |= _FILES
    # An address of more than 8,190 bytes does not come as far as to us: aiohttp says so in plain text.
    described["responses"]["400"]["content"] |= {"text/plain": {"schema": STRING}}
    return described


_REFUSALS = (
    ("404", "There is no such table, or key. Of a key's windows of a time, none is an empty list."),
    ("410", "The time is further back than the history."),
    ("503", "Nobody can answer now for what it takes."),
)


def _in_query(names: Iterable[str]) -> list[dict[str, Any]]:
    return [_in_query_as(name, description, schema) for name, (description, schema) in _QUERY.items() if name in names]


def _in_query_as(name: str, description: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": schema}


_FILES = {kind: {"schema": {"type": "string"}} for kind in CONTENT_TYPES.values()}
_COLUMN_TYPE = {"type": "string", "enum": list(get_args(ColumnType))}
_COLUMNS = array_of(object_of(name=STRING, type=_COLUMN_TYPE))
_MISSING = array_of(object_of(partition=INTEGER, reason=STRING))
_WINDOW = object_of(start_ms=INTEGER, end_ms=INTEGER, value=ANY)
_VERSION = object_of(value=ANY, since_ms=NULLABLE_INTEGER, until_ms=NULLABLE_INTEGER, deleted=BOOLEAN)
_ABOUT: Mapping[str, Any] = {"table": STRING, "key": ANY, "source": ref("Source"), "stale": BOOLEAN}

#: Beside a record that is not there: where it would be, and its neighbours.
_OF_RECORD: Mapping[str, Any] = {
    "topic": STRING,
    "partition": INTEGER,
    "offset": INTEGER,
    "previous": NULLABLE_INTEGER,
    "next": NULLABLE_INTEGER,
}

_SOURCE: Mapping[str, Any] = {
    "partition": INTEGER,
    "worker": STRING,
    "role": {"type": "string", "enum": ["owner", "standby", "replica"]},
    "records_behind": {"type": "integer", "description": "Of a standby: how far its copy was behind the changelog."},
    "heard_s": {"type": "number", "description": "Of a standby: how long ago that was heard, in seconds."},
}

_SCHEMAS: Mapping[str, Any] = {
    "Error": object_of(
        ("table", "key", "source", "stale", "missing", *_OF_RECORD, "bytes_max"),
        error=STRING,
        hint=NULLABLE_STRING,
        missing=_MISSING,
        bytes_max=INTEGER,
        **_OF_RECORD,
        **_ABOUT,
    ),
    "Source": object_of(**_SOURCE),
    "Tables": object_of(
        tables=array_of(
            object_of(
                **{"global": BOOLEAN},
                name=STRING,
                help=STRING,
                keys={"type": "string", "enum": ["text", "json", "other"]},
                key_type=_COLUMN_TYPE,
                value_type=_COLUMN_TYPE,
                columns={"anyOf": [_COLUMNS, {"type": "null"}]},
                history=BOOLEAN,
                window_ms=NULLABLE_INTEGER,
            )
        )
    ),
    "Page": object_of(
        table=STRING,
        rows=array_of(
            object_of(
                ("start_ms", "end_ms", "value", "now", "change"),
                key=ANY,
                value=ANY,
                now={**ANY, "description": "Beside a value of the past; neither is told where there is none."},
                change={"type": "string", "enum": ["added", "removed", "changed", "same"]},
                partition=INTEGER,
                href={"type": "string", "description": "Where the row's key is asked for."},
                start_ms=INTEGER,
                end_ms=INTEGER,
            )
        ),
        next=NULLABLE_STRING,
        complete=BOOLEAN,
        partitions=array_of(ref("Source")),
        missing=_MISSING,
    ),
    "Key": object_of(("value", "windows", "more"), **_ABOUT, value=ANY, windows=array_of(_WINDOW), more=BOOLEAN),
    "Versions": object_of(**_ABOUT, versions=array_of(_VERSION), more=BOOLEAN),
    "Changes": object_of(
        table=STRING,
        key=ANY,
        topic=STRING,
        partition=INTEGER,
        changes=array_of(
            object_of(
                ("start_ms", "end_ms"),
                offset=INTEGER,
                time_ms=INTEGER,
                value=ANY,
                deleted=BOOLEAN,
                start_ms=INTEGER,
                end_ms=INTEGER,
            )
        ),
        searched={**object_of(**{"from": INTEGER, "to": INTEGER}), "description": "The offsets that were read."},
        next=NULLABLE_INTEGER,
    ),
    "Sizes": object_of(tables=array_of(object_of(name=STRING, partitions=array_of(ref("Size")), missing=_MISSING))),
    "Size": object_of(
        **_SOURCE,
        keys={"type": "integer", "description": "About how many."},
        bytes={"type": "integer", "description": "About how many, on disk and in memory."},
        latest_ms={"type": ["integer", "null"], "description": "When the latest window of any key begins."},
        past={**nullable(ref("Past")), "description": "Of a table with history that has any."},
    ),
    "Past": object_of(
        oldest_ms={"type": "integer", "description": "No earlier time can be asked for."},
        first_ms={"type": "integer", "description": "Nothing is known to have been replaced before it."},
        latest_ms={"type": "integer", "description": "The time of the newest version."},
    ),
    "Places": object_of(
        table=STRING,
        key=ANY,
        partition=INTEGER,
        places=array_of(ref("Size")),
        silent=array_of(object_of(worker=STRING, reason=STRING)),
    ),
    "Answer": object_of(
        columns=_COLUMNS,
        rows=array_of(array_of(ANY)),
        more=BOOLEAN,
        read={"type": "object", "additionalProperties": INTEGER},
        seconds={"type": "number"},
    ),
}
