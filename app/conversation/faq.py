"""Retrieval over the bank's FAQ: the entry that a question's words fit best.

Source: S. Robertson and H. Zaragoza, The Probabilistic Relevance Framework: BM25 and Beyond, 2009.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from math import log
from pathlib import Path
from typing import NamedTuple

import msgspec

__all__ = ["Entry", "best", "words_of"]

FILE = Path(__file__).with_name("faq.json")
#: BM25's own constants, at their usual values.
K1, B = 1.5, 0.75
#: What an entry must reach to be an answer: about two words that few entries have.
SCORE_MIN = 3.0

_WORD = re.compile(r"[a-z]+")
_SAYS_NOTHING = (
    "a am an and are as at be but by can could did do does for from had has have how i if in is it me my not of on or "
    "our please so that the there they this to us was we what when where which who will with would you your"
)
_STOP = frozenset(_SAYS_NOTHING.split())


class Entry(msgspec.Struct, frozen=True):
    """A question of the FAQ, its answer, and further words that ask for it."""

    q: str
    a: str
    words: str = ""


class _Index(NamedTuple):
    entries: list[Entry]
    counts: list[Counter[str]]
    weights: dict[str, float]
    mean_length: float


def best(question: str) -> tuple[Entry, float] | None:
    """Return the entry that fits best, and its score; None when none fits.

    >>> best("I lost my card")[0].q
    'How do I block a lost or stolen card?'
    >>> best("What is the meaning of life?") is None
    True
    """
    index = _index()
    wanted = words_of(question)
    scored = [(_score(wanted, counts, index), number) for number, counts in enumerate(index.counts)]
    score, number = max(scored, key=lambda one: (one[0], -one[1]))
    return (index.entries[number], score) if score >= SCORE_MIN else None


def words_of(text: str) -> set[str]:
    """Return the words of a text that say something, in lower case and without a plural's end."""
    return {word.removesuffix("s") for word in _WORD.findall(text.lower()) if word not in _STOP}


def _score(wanted: set[str], counts: Counter[str], index: _Index) -> float:
    length = counts.total() / index.mean_length
    return sum(
        index.weights[word] * counts[word] * (K1 + 1) / (counts[word] + K1 * (1 - B + B * length))
        for word in sorted(wanted)
        if word in counts
    )


@cache
def _index() -> _Index:
    entries = msgspec.json.decode(FILE.read_bytes(), type=list[Entry])
    counts = [Counter([*words_of(one.q), *words_of(one.q), *words_of(one.words), *words_of(one.a)]) for one in entries]
    held = Counter(word for one in counts for word in one)
    weights = {word: log(1 + (len(entries) - count + 0.5) / (count + 0.5)) for word, count in held.items()}
    return _Index(entries, counts, weights, sum(one.total() for one in counts) / len(counts))
