"""What is said of bytes that do not hold what they should."""

from __future__ import annotations

from collections.abc import Callable

from pelton.errors import DecodeError

__all__ = ["explainer", "type_name"]

PREVIEW_BYTES = 80
REASON_CHARS = 500


def explainer(name: str, type_: object) -> Callable[[Exception, bytes], DecodeError]:
    """Return the `Codec.explain` of a serializer and a type.

    Its errors hold the reason, with the path of the field where the decoder knows it, and the first bytes; both
    bounded, because they go into headers and logs.
    """

    def explain(error: Exception, data: bytes) -> DecodeError:
        if isinstance(error, DecodeError):
            return error
        return DecodeError(
            f"could not decode {len(data)} bytes of {name} as {type_name(type_)}: {_reason(error)}",
            hint=f"the value begins with {data[:PREVIEW_BYTES]!r}",
        )

    return explain


def type_name(type_: object) -> str:
    """Return a type as its programmer wrote it."""
    if type_ is None:
        return "any type"
    return type_.__qualname__ if isinstance(type_, type) else str(type_)


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    text = str(error).replace("`", "")
    # The decoders' own errors explain themselves; others (a KeyError in __post_init__) need their name.
    reason = text if isinstance(error, ValueError) and text else f"{type(error).__name__}: {text}"
    return reason if len(reason) <= REASON_CHARS else reason[: REASON_CHARS - 1] + "…"
