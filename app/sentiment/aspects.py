"""What a review speaks of: sentences that name an aspect of a bank, and how each sentence sounds."""

from __future__ import annotations

import re

from app.sentiment.lexicon import polarity

__all__ = ["ASPECTS", "aspects_of"]

#: aspect -> words that name it.
ASPECTS = {
    "fees": "fee fees charge charges charged cost costs price prices expensive cheap interest rate rates",
    "app": "app website site online login interface update screen mobile",
    "service": "service staff support hotline agent branch helpful rude answer answered waiting queue",
    "card": "card cards contactless atm pin chip",
    "speed": "fast slow quick quickly instant instantly delay delayed days hours transfer transfers",
    "safety": "fraud safe safety secure security scam stolen blocked trust privacy",
}
_ASPECT = {word: aspect for aspect, words in ASPECTS.items() for word in words.split()}
_WORD = re.compile(r"[a-z]+")
_SENTENCE = re.compile(r"(?<=[.!?;])\s+|\n+|\bbut\b", re.IGNORECASE)


def aspects_of(text: str) -> dict[str, float]:
    """Return the aspects that a text speaks of, with the mean polarity of the sentences that name each.

    >>> aspects_of("I love the app, but the fees are terrible.")["fees"] < 0
    True
    """
    found: dict[str, list[float]] = {}
    for sentence in _SENTENCE.split(text):
        named = {_ASPECT[word] for word in _WORD.findall(sentence.lower()) if word in _ASPECT}
        if named:
            score = polarity(sentence)
            for aspect in named:
                found.setdefault(aspect, []).append(score)
    return {aspect: round(sum(scores) / len(scores), 4) for aspect, scores in sorted(found.items())}
