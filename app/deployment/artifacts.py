"""What a model is on its way through the log: JSON of its numbers, deflated, with a hash over the bytes.

An artifact is looked at before it is believed: its hash, its size unpacked, its shape, and whether its sums agree with
its parts. What passes can be asked anything, and answers.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from hashlib import sha256
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

from app.models import LABELS, Label, WordCounts
from app.sentiment import CountsInMemory, Learner
from app.sentiment.learned import REVIEWS, VOCABULARY, WORDS

__all__ = ["Artifact", "DamagedError", "NaiveBayes", "pack", "unpack"]

#: Bytes of an artifact unpacked: more is not unpacked (a few kilobytes can be made to unpack to gigabytes).
UNPACKED_BYTES_MAX = 16 * 1024 * 1024

Count = Annotated[int, Meta(ge=0, le=2**53)]
Word = Annotated[str, Meta(min_length=1, max_length=64)]


class DamagedError(Exception):
    """An artifact that is not what it should be; its text says how."""


class Artifact(NamedTuple):
    """A packed model, and the hash of these bytes in hex."""

    data: bytes
    sha256: str


class NaiveBayes(msgspec.Struct, frozen=True, tag_field="kind", tag="naive-bayes"):
    """A classifier of texts: word -> how often it was seen with each label, in the order of `LABELS`."""

    words: dict[Word, tuple[Count, Count, Count]]

    @classmethod
    def of(cls, counts: Mapping[str, WordCounts]) -> NaiveBayes:
        """Return the model that a learner's counts are."""
        return cls({word: (one.negative, one.neutral, one.positive) for word, one in sorted(counts.items())})

    def learner(self) -> Learner:
        """Return what answers by it."""
        return Learner(CountsInMemory({word: WordCounts(*counts) for word, counts in self.words.items()}))

    def check(self) -> None:
        """Make sure that the sums agree with the parts. Raises: DamagedError."""
        parts = [counts for word, counts in self.words.items() if word not in (REVIEWS, WORDS, VOCABULARY)]
        sums = tuple(sum(counts[at] for counts in parts) for at in range(len(LABELS)))
        if not sum(self.words.get(REVIEWS, (0, 0, 0))):
            raise DamagedError("it has learned from nothing")
        if self.words.get(WORDS) != sums:
            raise DamagedError(f"its words come to {sums}, and it says {self.words.get(WORDS)}")
        if sum(self.words.get(VOCABULARY, (0, 0, 0))) != len(parts):
            raise DamagedError(f"it has {len(parts)} words, and says {sum(self.words.get(VOCABULARY, (0, 0, 0)))}")


def pack(model: NaiveBayes) -> Artifact:
    """Return a model as an artifact: the same model is the same bytes."""
    data = zlib.compress(msgspec.json.encode(model), 9)
    return Artifact(data, sha256(data).hexdigest())


def unpack(data: bytes, digest: str) -> NaiveBayes:
    """Return the model in an artifact. digest: the hash that it is to have. Raises: DamagedError."""
    found = sha256(data).hexdigest()
    if found != digest:
        raise DamagedError(f"its sha256 is {found[:12]}…, and should be {digest[:12]}…")
    unpacking = zlib.decompressobj()
    try:
        unpacked = unpacking.decompress(data, UNPACKED_BYTES_MAX)
    except zlib.error as error:
        raise DamagedError(f"it cannot be unpacked: {error}") from error
    if not unpacking.eof:
        raise DamagedError(f"it is cut off, or more than {UNPACKED_BYTES_MAX:,} bytes unpacked")
    try:
        model = msgspec.json.decode(unpacked, type=NaiveBayes)
    except (msgspec.DecodeError, RecursionError) as error:
        raise DamagedError(f"it is no model: {error}") from error
    model.check()
    return model


def label_of(learner: Learner, text: str) -> tuple[Label, float]:
    """Return the likeliest label of a text, and its probability."""
    likely = learner.probabilities(text)
    label = max(LABELS, key=lambda one: likely.get(one, 0.0))
    return label, likely.get(label, 0.0)
