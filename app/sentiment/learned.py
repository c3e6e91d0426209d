"""A classifier that learns from customers' stars, a review at a time: multinomial naive Bayes, whose counts are tables.

What a library keeps in the memory of its process, and a crash takes with it, is rows here: a word, and how often it was
seen with each label. So it is learned with the event that teaches it, exactly once, and is there again after a restart.
When more words are known than there may be, the rarest are forgotten: of a word that was seen once among thousands of
texts nothing follows.

The probabilities are those of river's MultinomialNB over a bag of words, to the last digit but rounding
(tests/app/sentiment/test_scorers.py compares them; decisions/0030 tells why river is not asked itself).
Source: C. D. Manning et al., Introduction to Information Retrieval, 2008, section 13.2.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, MutableMapping
from math import exp, log
from typing import Protocol

from app.models import LABELS, Label, WordCounts
from app.sentiment.lexicon import polarity

__all__ = ["REVIEWS", "VOCABULARY", "VOCABULARY_MAX", "WORDS", "Counts", "CountsInMemory", "Learner", "words_of"]

#: What each word is taken to have been seen with each label, in addition (Laplace).
SMOOTHING = 1.0
#: Reviews with stars before what was learned counts for more than the lexicon.
TAUGHT_MIN = 50
#: What the lexicon thinks of a text is one more word of it, in so many steps, and worth so many words.
SOUNDS_STEPS = 4
SOUNDS_WEIGHT = 3
#: So many words behind a negation are others than those without: "not_good".
NEGATED = 3
#: Words of one text that count, and letters of one word: what is longer is no prose.
WORDS_MAX = 1_000
LETTERS_MAX = 32
#: Words that a learner knows at most. When there are more, the rarest quarter is forgotten: at once, so that whoever
#: learns goes through all words once in thousands of new ones.
VOCABULARY_MAX = 20_000

_WORD = re.compile(r"[a-z][a-z']+")
_NEGATION = re.compile(r"not|no|never|.*n't")
#: Rows of sums: no text has these words, which are in capital letters.
REVIEWS, WORDS, VOCABULARY = "REVIEWS", "WORDS", "VOCABULARY"


class Counts(Protocol):
    """A table of counts, or a dict that has a default."""

    def __getitem__(self, key: str, /) -> WordCounts: ...
    def __setitem__(self, key: str, value: WordCounts, /) -> None: ...
    def __delitem__(self, key: str, /) -> None: ...
    def items(self) -> Iterable[tuple[str, WordCounts]]:
        """Return words and their counts."""
        ...


class CountsInMemory(dict[str, WordCounts]):
    """Counts that are no table: of a model that was learned elsewhere, or to try something out."""

    def __missing__(self, key: str) -> WordCounts:
        return WordCounts()


class Learner:
    """What is known in the partition of the event that the agent is at.

    counts: word -> how often it was seen. words_max: words that are known at most.
    """

    def __init__(self, counts: Counts | MutableMapping[str, WordCounts], words_max: int = VOCABULARY_MAX) -> None:
        self._counts = counts
        self._words_max = words_max

    @property
    def taught(self) -> bool:
        """Whether it has seen enough to be asked."""
        taught: bool = self._counts[REVIEWS].total >= TAUGHT_MIN
        return taught

    def probabilities(self, text: str) -> dict[Label, float]:
        """Return how likely each label is; empty before the first lesson. Labels that were never seen are missing."""
        reviews, words = self._counts[REVIEWS], self._counts[WORDS]
        vocabulary = self._counts[VOCABULARY].total
        seen: list[Label] = [label for label in LABELS if reviews.of(label)]
        logs: dict[Label, float] = {label: log(reviews.of(label) / reviews.total) for label in seen}
        for word, times in words_of(text).items():
            known = self._counts[word]
            for label in seen:
                share = (known.of(label) + SMOOTHING) / (words.of(label) + SMOOTHING * vocabulary)
                logs[label] += times * log(share)
        most = max(logs.values(), default=0.0)
        odds: dict[Label, float] = {label: exp(value - most) for label, value in logs.items()}
        everything = sum(odds.values())
        shares: dict[Label, float] = {label: value / everything for label, value in odds.items()}
        return shares

    def learn(self, text: str, label: Label) -> None:
        """Take a lesson: a text, and what its writer meant."""
        words = words_of(text)
        new = 0
        for word, times in words.items():
            known = self._counts[word]
            new += not known.total
            self._counts[word] = known.plus(label, times)
        self._counts[REVIEWS] = self._counts[REVIEWS].plus(label)
        self._counts[WORDS] = self._counts[WORDS].plus(label, words.total())
        if new:
            self._counts[VOCABULARY] = self._counts[VOCABULARY].plus("neutral", new)
            if self._counts[VOCABULARY].total > self._words_max:
                self._forget(self._words_max - self._words_max // 4)

    def _forget(self, left: int) -> None:
        """Forget all but so many words: the rarest, and of those that are as rare, the last of the alphabet."""
        known = [(word, one) for word, one in self._counts.items() if word not in (REVIEWS, WORDS, VOCABULARY)]
        known.sort(key=lambda row: (-row[1].total, row[0]))
        words = self._counts[WORDS]
        for word, one in known[left:]:
            words = words.minus(one)
            del self._counts[word]
        self._counts[WORDS], self._counts[VOCABULARY] = words, WordCounts(neutral=left)


def words_of(text: str) -> Counter[str]:
    """Return what a text is made of: its words, those behind a negation marked, and how it sounds.

    >>> sorted(words_of("Not good. It works!").items())
    [('SOUNDS 1', 3), ('not', 1), ('not_good', 1), ('not_it', 1), ('not_works', 1)]
    """
    found: Counter[str] = Counter()
    negated = 0
    for word in _WORD.findall(text.lower())[:WORDS_MAX]:
        found[("not_" if negated else "") + word[:LETTERS_MAX]] += 1
        negated = NEGATED if _NEGATION.fullmatch(word) else max(0, negated - 1)
    found[f"SOUNDS {round((polarity(text) + 1) / 2 * SOUNDS_STEPS)}"] = SOUNDS_WEIGHT
    return found
