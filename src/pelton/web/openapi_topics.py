"""The part of the OpenAPI document that describes topics and dead letters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pelton.web.openapi_parts import (
    ANY,
    BOOLEAN,
    INTEGER,
    NULLABLE_INTEGER,
    NULLABLE_STRING,
    STRING,
    Schema,
    array_of,
    in_path,
    nullable,
    object_of,
    operation,
)

__all__ = [
    "LETTERS_MAX",
    "LETTERS_PARAMETERS",
    "RECORDS_MAX",
    "RECORDS_PARAMETERS",
    "TAIL_PARAMETERS",
    "TOPIC_PATHS",
    "TOPIC_SCHEMAS",
]

#: How many records, or letters, one answer holds at most.
RECORDS_MAX = 200
LETTERS_MAX = 200
_TIME = "Seconds since the epoch, or ISO 8601 (without a zone, of UTC)."
_NUMBER: Schema = {"type": "integer", "minimum": 0, "maximum": 10**18 - 1}


def _limit(most: int) -> Schema:
    return {"type": "integer", "minimum": 1, "maximum": most, "default": 50}


#: name -> what it means, and its schema.
_OF_RECORDS: Mapping[str, tuple[str, Schema]] = {
    "partition": ("Of this partition only.", _NUMBER),
    "key": ("With this key: as it is, or as JSON.", STRING),
    "text": ("With this text in the value, in any case of ASCII letters.", STRING),
    "header": ("With a header of this name, or name=value for a part of its value.", STRING),
    "since": (f"From the first record of this time on. {_TIME}", STRING),
    "until": (f"Up to the first record of this time. {_TIME}", STRING),
    "offset": ("From this offset on, in the order asked for.", _NUMBER),
    "order": ("Which come first.", {"type": "string", "enum": ["newest", "oldest"], "default": "newest"}),
    "limit": ("How many at most.", _limit(RECORDS_MAX)),
    "cursor": ("`next` of the page before.", STRING),
}
_OF_LETTERS: Mapping[str, tuple[str, Schema]] = {
    "topic": ("Of records of this topic.", STRING),
    "agent": ("Of what this agent failed on.", STRING),
    "error": ("With this in the error's text, in any case.", STRING),
    "reason": ("With this reason, as the counts have it.", STRING),
    "since": (f"Of records of this time or later. {_TIME}", STRING),
    "settled": ("Also those that are settled.", {"type": "string", "enum": ["yes", "no"], "default": "no"}),
    "limit": ("How many at most.", _limit(LETTERS_MAX)),
    "cursor": ("`next` of the page before.", STRING),
}

TAIL_PARAMETERS = frozenset({"partition", "key", "text", "header"})
RECORDS_PARAMETERS = frozenset(_OF_RECORDS)
LETTERS_PARAMETERS = frozenset(_OF_LETTERS)


def _in_query(known: Mapping[str, tuple[str, Schema]], names: Iterable[str]) -> list[dict[str, Any]]:
    wanted = set(names)
    return [
        {"name": name, "in": "query", "description": about, "schema": schema}
        for name, (about, schema) in known.items()
        if name in wanted
    ]


_NAME = in_path("name", "The topic.", {**STRING, "minLength": 1})
_PLACE = [
    _NAME,
    in_path("partition", "The partition.", _NUMBER),
    in_path("offset", "The offset.", _NUMBER),
]
_BUSY = ("503", "The log does not answer now.")
_READING = (("404", "There is no such topic, partition, record or letter."), _BUSY)
_WRITING = (
    ("403", "Nothing may be changed: there is no token, or the page's own is missing."),
    ("404", "There is no such topic, partition or letter."),
    _BUSY,
)
_SETTLING = (*_WRITING, ("409", "Somebody else has begun to settle letters, and took over."))

TOPIC_PATHS: Mapping[str, Any] = {
    "/api/topics": {"get": operation("topics", "The topics", [], "Topics", (_BUSY,))},
    "/api/topics/{name}": {"get": operation("topic", "A topic", [_NAME], "Topic", _READING)},
    "/api/topics/{name}/records": {
        "get": operation(
            "records",
            "Records of a topic, searched",
            [_NAME, *_in_query(_OF_RECORDS, RECORDS_PARAMETERS)],
            "Records",
            _READING,
        ),
        "post": operation("write", "Write a record", [_NAME], "Written", _WRITING, body="NewRecord", status="201"),
    },
    "/api/topics/{name}/tail": {
        "get": {
            **operation(
                "tail",
                "Records as they come: server-sent events, each a Look",
                [_NAME, *_in_query(_OF_RECORDS, TAIL_PARAMETERS)],
                "Look",
                _READING,
                media="text/event-stream",
            )
        }
    },
    "/api/topics/{name}/{partition}/{offset}": {"get": operation("record", "A record", _PLACE, "Record", _READING)},
    "/api/topics/{name}/{partition}/{offset}/value": {
        "get": {
            **operation("value", "The value of a record, as it is", _PLACE, "Error", _READING),
            "responses": {
                **operation("value", "", [], "Error", _READING)["responses"],
                "200": {
                    "description": "The bytes.",
                    "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
                },
            },
        }
    },
    "/api/dlq": {"get": operation("deadLetters", "How many dead letters there are, and why", [], "Letters", (_BUSY,))},
    "/api/dlq/letters": {
        "get": operation(
            "letters",
            "Dead letters, the newest first",
            _in_query(_OF_LETTERS, LETTERS_PARAMETERS),
            "LetterPage",
            (_BUSY,),
        )
    },
    "/api/dlq/letters/{number}": {
        "get": operation(
            "letter",
            "A dead letter",
            [in_path("number", "Its number.", {**STRING, "pattern": r"^[0-9]{1,9}:[0-9]{1,18}$"})],
            "Letter",
            _READING,
        )
    },
    "/api/dlq/replay": {
        "post": operation("replay", "Put records back", [], "Settled", _SETTLING, body="ReplayRequest")
    },
    "/api/dlq/discard": {
        "post": operation("discard", "Mark letters as done with", [], "Settled", _SETTLING, body="DiscardRequest")
    },
}

_BYTES = nullable(object_of(bytes=INTEGER, text=NULLABLE_STRING, hex=NULLABLE_STRING, cut=BOOLEAN))
_DECODED = nullable(object_of(codec=STRING, value=ANY, text=NULLABLE_STRING, error=NULLABLE_STRING))
_SEARCHED = object_of(records=INTEGER, bytes=INTEGER, progress={"type": "number", "minimum": 0, "maximum": 1})
_HEADERS = array_of(object_of(name=STRING, value=_BYTES))
_LINES = array_of(STRING)
_TOPIC: Mapping[str, Schema] = {
    "name": STRING,
    "partitions": INTEGER,
    "offsets": {"type": "integer", "description": "How many it spans: as many records, or fewer."},
    "declared": BOOLEAN,
    "roles": array_of(STRING),
    "agents": array_of(STRING),
    "tables": array_of(STRING),
    "cleanup_policy": NULLABLE_STRING,
    "retention_ms": {"type": ["integer", "null"], "description": "As declared; -1 is for ever, null the log's own."},
    "key_type": STRING,
    "value_type": STRING,
    "closed": {"type": "string", "description": "Why nobody may write to it by hand; empty when one may."},
    "rate": {"type": ["number", "null"], "description": "Offsets a second; null when it is not known yet."},
}
_ROW = object_of(
    partition=INTEGER,
    offset=INTEGER,
    timestamp_ms=INTEGER,
    key=_BYTES,
    value=_BYTES,
    headers=array_of(STRING),
    bytes=INTEGER,
)
_MARK: Mapping[str, Schema] = {
    "how": {"type": "string", "enum": ["replayed", "discarded"]},
    "time_ms": INTEGER,
    "to": STRING,
    "reason": STRING,
    "edited": BOOLEAN,
}
_LETTER: Mapping[str, Schema] = {
    "number": STRING,
    "time": STRING,
    "topic": STRING,
    "partition": INTEGER,
    "offset": INTEGER,
    "agent": STRING,
    "kind": STRING,
    "error": STRING,
    "attempts": INTEGER,
    "result": NULLABLE_STRING,
    "settled": nullable(object_of(**_MARK)),
}
_CONTENTS: Mapping[str, Schema] = {
    "key": _BYTES,
    "value": _BYTES,
    "key_decoded": _DECODED,
    "value_decoded": _DECODED,
    "key_dump": _LINES,
    "value_dump": _LINES,
    "headers": _HEADERS,
}
_NEW_HEADERS = array_of(object_of(("value",), name=STRING, value=NULLABLE_STRING))
_NEW_BYTES = nullable(object_of(("text", "hex"), text=NULLABLE_STRING, hex=NULLABLE_STRING))
_CHOSEN = nullable(
    object_of(("topic", "agent", "error"), topic=NULLABLE_STRING, agent=NULLABLE_STRING, error=NULLABLE_STRING)
)

TOPIC_SCHEMAS: Mapping[str, Any] = {
    "Topics": object_of(topics=array_of(object_of(**_TOPIC))),
    "Topic": object_of(**_TOPIC, offsets_of=array_of(object_of(partition=INTEGER, start=INTEGER, end=INTEGER))),
    "Records": object_of(topic=STRING, records=array_of(_ROW), next=NULLABLE_STRING, searched=_SEARCHED),
    "Look": object_of(records=array_of(_ROW), dropped=INTEGER, passed=INTEGER),
    "Record": object_of(
        topic=STRING,
        partition=INTEGER,
        offset=INTEGER,
        previous=NULLABLE_INTEGER,
        next=NULLABLE_INTEGER,
        timestamp_ms=INTEGER,
        bytes=INTEGER,
        tables=array_of(STRING),
        **_CONTENTS,
    ),
    "NewRecord": object_of(
        ("key", "value", "headers", "partition"),
        key=NULLABLE_STRING,
        value=NULLABLE_STRING,
        headers=_NEW_HEADERS,
        partition=NULLABLE_INTEGER,
    ),
    "Written": object_of(topic=STRING, partition=INTEGER, offset=INTEGER),
    "Letters": object_of(
        waiting=INTEGER,
        settled=INTEGER,
        complete={"type": "boolean", "description": "Whether these are all; only the newest are counted else."},
        reasons=array_of(
            object_of(agent=STRING, topic=STRING, reason=STRING, count=INTEGER, first_ms=INTEGER, last_ms=INTEGER)
        ),
        over_time=array_of(object_of(since_ms=INTEGER, until_ms=INTEGER, count=INTEGER)),
    ),
    "LetterPage": object_of(letters=array_of(object_of(**_LETTER)), next=NULLABLE_STRING, searched=_SEARCHED),
    "Letter": object_of(**_LETTER, traceback=STRING, **_CONTENTS),
    "ReplayRequest": object_of(
        ("numbers", "all", "to", "edit"),
        numbers=array_of(STRING),
        all=_CHOSEN,
        to=NULLABLE_STRING,
        edit=nullable(object_of(("key", "value", "headers"), key=_NEW_BYTES, value=_NEW_BYTES, headers=_NEW_HEADERS)),
    ),
    "DiscardRequest": object_of(("numbers", "all"), reason=STRING, numbers=array_of(STRING), all=_CHOSEN),
    "Settled": object_of(
        settled=INTEGER,
        by_topic={"type": "object", "additionalProperties": INTEGER},
        missing=array_of(STRING),
        before=array_of(object_of(number=STRING, **_MARK)),
    ),
}
