"""The JSON schema of a typed answer, as servers take it that enforce one ("strict"), and the answer as a value."""

from __future__ import annotations

from typing import Any, TypeVar, cast

import msgspec

__all__ = ["read", "schema_of"]

T = TypeVar("T")

#: What OpenAI's strict mode does not take; msgspec checks it all the same when the answer is there.
_DROPPED = {"default", "title", "minLength", "maxLength"}


def schema_of(kind: type[Any]) -> dict[str, Any]:
    """Return the schema of a msgspec.Struct: all fields required, and none but these."""
    schema = msgspec.json.schema(kind)
    definitions = cast(dict[str, Any], schema.get("$defs", {}))
    root = definitions.pop(schema["$ref"].rpartition("/")[2]) if "$ref" in schema else schema
    made: dict[str, Any] = _strict(root)
    if definitions:
        made["$defs"] = {name: _strict(one) for name, one in definitions.items()}
    return made


def read(text: str, kind: type[T]) -> T:
    """Return an answer as a value. Raises: ValueError telling what is wrong with it."""
    try:
        return msgspec.json.decode(_bare(text), type=kind)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError) as error:
        raise ValueError(str(error) or "nested too deeply") from error


def _bare(text: str) -> str:
    """Return what is between the fences that some models put around JSON."""
    text = text.strip()
    if text.startswith("```") and text.endswith("```"):
        return text.strip("`").removeprefix("json").strip()
    return text


def _strict(node: Any) -> Any:
    if isinstance(node, list):
        return [_strict(one) for one in node]  # pyright: ignore[reportUnknownVariableType]
    if not isinstance(node, dict):
        return node
    given = cast(dict[str, Any], node)
    made = {name: _strict(value) for name, value in given.items() if name not in _DROPPED}
    if given.get("type") == "object" and "properties" in given:
        made["properties"] = {name: _strict(one) for name, one in given["properties"].items()}
        made["required"] = sorted(given["properties"])
        made["additionalProperties"] = False
    return made
