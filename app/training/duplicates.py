"""Near-duplicates of texts, found without comparing each with all others; what is known of those before are rows.

A text is the set of its three-word pieces, numbers left out. Two texts are near-duplicates when these sets agree in
four fifths (Jaccard). Sets that agree so far share one of sixteen bands of their MinHash with a probability of 0.9998;
those that share one are compared exactly, so what is taken for a near-duplicate is one. Of all texts that were taken in
the latest 50,000 are known: what is nearly the same as an older one is taken in again.
Source: J. Leskovec et al., Mining of Massive Datasets, 2014, sections 3.3 and 3.4.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from random import Random
from typing import Protocol

__all__ = ["JACCARD_MIN", "NearDuplicates", "pieces_of"]

JACCARD_MIN = 0.8
PIECE_WORDS = 3
BANDS, ROWS = 16, 4
#: Texts of one band that are compared, and pieces of one text.
BAND_MAX = 8
PIECES_MAX = 400
#: Texts that are known at most: with rows of 2 kB for one of a hundred words, 100 MB.
TEXTS_MAX = 50_000

_WORD = re.compile(r"<\w+>|[^\W\d_]+")
_PRIME = (1 << 61) - 1
_random = Random("pelton/minhash")  # noqa: S311 - it has to be the same everywhere
_HASHES = [(_random.randrange(1, _PRIME), _random.randrange(_PRIME)) for _ in range(BANDS * ROWS)]


class Rows(Protocol):
    """A table of lists of numbers: a band's texts, a text's pieces, or the text at a place of the ring of texts."""

    def get(self, key: str, default: None = None, /) -> list[int] | None: ...
    def pop(self, key: str, default: None, /) -> list[int] | None: ...
    def __setitem__(self, key: str, value: list[int], /) -> None: ...


class NearDuplicates:
    """The texts that were taken in. rows: a table, or a dict. texts_max: how many of the latest are known."""

    def __init__(self, rows: Rows, texts_max: int = TEXTS_MAX) -> None:
        self._rows = rows
        self._texts_max = texts_max

    def is_new(self, number: int, text: str) -> bool:
        """Take a text in, unless one that it is a near-duplicate of was. number: its own. Returns: whether it is in."""
        pieces = pieces_of(text)
        bands = list(_bands(pieces))
        near = {other for band in bands for other in self._rows.get(band) or ()}
        if any(jaccard(pieces, set(self._rows.get(f"text {other}") or ())) >= JACCARD_MIN for other in sorted(near)):
            return False
        self._rows[f"text {number}"] = sorted(pieces)
        for band in bands:
            self._rows[band] = [*(self._rows.get(band) or ()), number][-BAND_MAX:]
        self._put_in_ring(number)
        return True

    def _put_in_ring(self, number: int) -> None:
        """Have a text take the place of the oldest one, which is forgotten."""
        (taken_in,) = self._rows.get("taken in") or (0,)
        place = f"place {taken_in % self._texts_max}"
        for oldest in self._rows.get(place) or ():
            self._forget(oldest)
        self._rows[place], self._rows["taken in"] = [number], [taken_in + 1]

    def _forget(self, number: int) -> None:
        """Take a text out of its bands, which follow from its pieces."""
        for band in _bands(self._rows.pop(f"text {number}", None) or ()):
            left = [other for other in self._rows.get(band) or () if other != number]
            if left:
                self._rows[band] = left
            else:
                self._rows.pop(band, None)


def pieces_of(text: str) -> set[int]:
    """Return the three-word pieces of a text as numbers; a shorter text is one piece."""
    words = _WORD.findall(text.lower())
    last = max(1, len(words) - PIECE_WORDS + 1)
    return {_hash(" ".join(words[at : at + PIECE_WORDS])) for at in range(min(last, PIECES_MAX))}


def jaccard(one: set[int], other: set[int]) -> float:
    """Return the share of what either has that both have."""
    return len(one & other) / len(one | other) if one or other else 1.0


def _bands(pieces: Iterable[int]) -> Iterator[str]:
    held = list(pieces)
    least = [min((a * piece + b) % _PRIME for piece in held) for a, b in _HASHES]
    for band in range(BANDS):
        yield f"band {band} {_hash(repr(least[band * ROWS : (band + 1) * ROWS])):x}"


def _hash(text: str) -> int:
    """Return a number of 53 bits, which JSON keeps, that follows from a text."""
    return int.from_bytes(blake2b(text.encode(), digest_size=7).digest()) >> 3
