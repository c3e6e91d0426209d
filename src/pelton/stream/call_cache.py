"""Results of calls, kept by the content that was asked: the same question again needs no second call.

They lie in the table of the operator, so they survive restarts. The one that came first goes when there are too many;
how old a result may be is event time, never the wall clock (invariant I8).

Keys of the table: `c` digest -> sequence number, time, result; `s` sequence number -> digest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from hashlib import blake2b
from struct import Struct
from typing import Any

import msgspec

from pelton.errors import ConfigurationError
from pelton.stream.lane import Chunk, TableSlot
from pelton.window import declared_ms

__all__ = ["CallCache", "ResultCache", "call_cache_of"]

_CONTENT, _SEQUENCE, _BEHIND_SEQUENCE = b"c", b"s", b"t"
_DIGEST_BYTES = 16
_Number = Struct(">Q")
_Head = Struct(">Qq")

_encode = msgspec.msgpack.Encoder(order="deterministic").encode


@dataclass(frozen=True, slots=True)
class CallCache:
    """What `map_async(..., cache=...)` keeps in each partition.

    by: what of a value counts as its content, as a function of it; all of it when None.
    entries: how many results are kept. expires: how long one is good, in event time; for ever when None.
    Raises: ConfigurationError.
    """

    by: Callable[[Any], Any] | None = None
    entries: int = 10_000
    expires: float | timedelta | None = None

    def __post_init__(self) -> None:
        if self.entries < 1 or (self.expires is not None and declared_ms(self.expires) <= 0):
            raise ConfigurationError(
                f"a cache of calls: expected room for entries, and a time that is not over at once, got {self!r}",
                hint="write cache=True, or cache=pelton.CallCache(by=lambda ticket: ticket.text, entries=1_000)",
            )


def call_cache_of(given: Any) -> CallCache | None:
    """Return what `cache=` means: a CallCache, True for one as it comes, or None. Raises: ConfigurationError."""
    if isinstance(given, CallCache):
        return given
    if given is True:
        return CallCache()
    if given is None or given is False:
        return None
    raise ConfigurationError(f"cache: expected True or a pelton.CallCache, got {given!r}")


class ResultCache:
    """The cache of one partition."""

    def __init__(self, slot: TableSlot, given: CallCache) -> None:
        self._slot = slot
        self._given = given
        self._expires_ms = None if given.expires is None else declared_ms(given.expires)
        numbers = [_Number.unpack(key[1:])[0] for key, _ in slot.scan(_SEQUENCE, _BEHIND_SEQUENCE)]
        self._oldest = min(numbers, default=0)
        self._next = max(numbers, default=-1) + 1

    def digest(self, chunk: Chunk, value: Any) -> bytes:
        """Return what stands for the content of a value. Raises: ConfigurationError when it cannot be written."""
        content = value if self._given.by is None else self._given.by(value)
        if self._given.by is None and value is chunk.values[0]:
            data = chunk.batch.values[chunk.rows[0]] or b""  # no processor made anything else of it
        else:
            try:
                data = _encode(content)
            except TypeError as error:
                raise ConfigurationError(
                    f"a cache of calls cannot tell contents of {type(content).__name__} apart: {error}",
                    hint="say what counts: cache=pelton.CallCache(by=lambda value: value.text)",
                ) from error
        return blake2b(data, digest_size=_DIGEST_BYTES).digest()

    def get(self, digest: bytes, time_ms: int) -> bytes | None:
        """Return the result for a content, as a question at this event time sees it; None when there is none."""
        found = self._slot.get(_CONTENT + digest)
        if found is None:
            return None
        _, stored_ms = _Head.unpack_from(found)
        if self._expires_ms is not None and time_ms - stored_ms >= self._expires_ms:
            return None
        return found[_Head.size :]

    def put(self, digest: bytes, time_ms: int, result: bytes) -> None:
        """Keep a result, asked for at this event time; the oldest goes when there are too many."""
        self._slot.record(_CONTENT + digest, _Head.pack(self._next, time_ms) + result)
        self._slot.record(_SEQUENCE + _Number.pack(self._next), digest)
        self._next += 1
        while self._next - self._oldest > self._given.entries:
            self._forget(self._oldest)
            self._oldest += 1

    def _forget(self, number: int) -> None:
        digest = self._slot.get(_SEQUENCE + _Number.pack(number))
        if digest is None:
            return
        self._slot.record(_SEQUENCE + _Number.pack(number), None)
        found = self._slot.get(_CONTENT + digest)
        if found is not None and _Head.unpack_from(found)[0] == number:  # or it was asked anew since
            self._slot.record(_CONTENT + digest, None)
