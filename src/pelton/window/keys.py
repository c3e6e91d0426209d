"""The keys of a windowed table: the window's start first, then the key.

Starts are written so that bytes sort as times do. The windows that have expired are one range of keys at the front
then, and a window of one key is one point lookup.
Layout: 8 bytes, the start in milliseconds plus 2^63, big-endian; then the key.
"""

from __future__ import annotations

from struct import Struct

__all__ = ["WINDOW_PREFIX_BYTES", "window_key", "window_key_prefix", "window_key_suffix", "window_start_of"]

WINDOW_PREFIX_BYTES = 8

_PREFIX = Struct(">Q")
_SHIFT = 1 << 63
_LAST = (1 << 64) - 1


def window_key_prefix(start_ms: int) -> bytes:
    """Return the first bytes of all keys whose window starts then; also the bound of a range of windows.

    start_ms: milliseconds, before or after the epoch; what lies outside of 64 bits becomes the nearest that fits.

    >>> window_key_prefix(-1) < window_key_prefix(0) < window_key_prefix(60_000)
    True
    """
    return _PREFIX.pack(min(max(start_ms + _SHIFT, 0), _LAST))


def window_key(start_ms: int, key: bytes) -> bytes:
    """Return the stored key of the window of `key` that starts then.

    Raises: struct.error when start_ms does not fit into 64 bits.

    >>> window_start_of(window_key(-60_000, b"alice"))
    -60000
    """
    return _PREFIX.pack(start_ms + _SHIFT) + key


def window_start_of(stored_key: bytes) -> int:
    """Return the start of the window that a stored key belongs to, in milliseconds."""
    start: int = _PREFIX.unpack_from(stored_key)[0]
    return start - _SHIFT


def window_key_suffix(stored_key: bytes) -> bytes:
    """Return the key without the start of its window."""
    return stored_key[WINDOW_PREFIX_BYTES:]
