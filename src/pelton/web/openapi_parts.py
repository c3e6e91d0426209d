"""What OpenAPI documents are made of: schemas, parameters, operations and their refusals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = [
    "ANY",
    "BOOLEAN",
    "INTEGER",
    "NULLABLE_INTEGER",
    "NULLABLE_STRING",
    "STRING",
    "Schema",
    "array_of",
    "in_path",
    "nullable",
    "object_of",
    "operation",
    "ref",
    "response",
]

Schema = Mapping[str, Any]

STRING: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}
BOOLEAN: Schema = {"type": "boolean"}
NULLABLE_STRING: Schema = {"type": ["string", "null"]}
NULLABLE_INTEGER: Schema = {"type": ["integer", "null"]}
#: Whatever a table, or a record, holds.
ANY: Schema = {}

_GUARDED = (
    ("400", "The request is wrong."),
    ("401", "A token is needed."),
    ("421", "Another name than this machine's."),
)


def operation(
    name: str,
    summary: str,
    parameters: Sequence[Schema],
    answer: str,
    refusals: Sequence[tuple[str, str]],
    *,
    body: str | None = None,
    status: str = "200",
    media: str = "application/json",
) -> dict[str, Any]:
    """Return an operation. answer, body: names of schemas. refusals: (status, why) beside those of the guard."""
    responses = {status: response("The answer.", answer, media)}
    responses |= {code: response(about, "Error") for code, about in (*_GUARDED, *refusals)}
    if body is not None:
        responses["413"] = response("The body is too large.", "Error")
    if "503" in responses:
        responses["503"] = {
            **responses["503"],
            "headers": {"Retry-After": {"description": "Seconds.", "schema": INTEGER, "required": True}},
        }
    told: dict[str, Any] = {
        "operationId": name,
        "summary": summary,
        "parameters": list(parameters),
        "responses": responses,
    }
    if body is not None:
        told["requestBody"] = {"required": True, "content": {"application/json": {"schema": ref(body)}}}
    return told


def response(description: str, schema: str, media: str = "application/json") -> dict[str, Any]:
    """Return a response whose body is of a named schema."""
    return {"description": description, "content": {media: {"schema": ref(schema)}}}


def in_path(name: str, description: str, schema: Schema) -> dict[str, Any]:
    """Return a parameter that is a part of the path."""
    return {"name": name, "in": "path", "required": True, "description": description, "schema": schema}


def object_of(optional: Iterable[str] = (), **properties: Schema) -> dict[str, Any]:
    """Return the schema of an object with these properties, and no others. optional: those that may be missing."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def array_of(items: Schema) -> dict[str, Any]:
    """Return the schema of an array."""
    return {"type": "array", "items": items}


def nullable(schema: Schema) -> dict[str, Any]:
    """Return the schema of what may be null instead."""
    return {"anyOf": [schema, {"type": "null"}]}


def ref(name: str) -> dict[str, Any]:
    """Return a reference to a named schema."""
    return {"$ref": f"#/components/schemas/{name}"}
