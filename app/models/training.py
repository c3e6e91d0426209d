"""From conversations to data that a model can be trained on."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

__all__ = [
    "SPLITS",
    "Consent",
    "ConversationEvent",
    "Example",
    "Exchange",
    "Held",
    "Rating",
    "Split",
]

Id = Annotated[str, Meta(min_length=1, max_length=64)]
Time = Annotated[float, Meta(ge=0, lt=4_102_444_800)]
Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, Split, Split] = ("train", "validation", "test")


class Exchange(msgspec.Struct, frozen=True, tag=True):
    """A question and its answer, as the customer saw them. by: who answered; hand_over: why a person goes on."""

    account: Id
    question: Id
    asked: str
    answered: str
    by: str
    ts: Time
    hand_over: str = ""


class Rating(msgspec.Struct, frozen=True, tag=True):
    """What a customer thinks of an answer. better: what it should have been, if somebody says so."""

    account: Id
    question: Id
    helpful: bool
    ts: Time
    better: Annotated[str, Meta(max_length=2_000)] = ""


class Consent(msgspec.Struct, frozen=True, tag=True):
    """Whether a customer's conversations may be used for training, from now on. Without one they may not."""

    account: Id
    given: bool
    ts: Time


ConversationEvent = Exchange | Rating | Consent


class Held(msgspec.Struct, frozen=True):
    """An exchange that waits for a rating. partition, offset: where it is in the topic of conversations."""

    exchange: Exchange
    partition: int
    offset: int


class Example(msgspec.Struct, frozen=True):
    """A redacted exchange. customer: a pseudonym. helpful: what the customer thought; None where nobody knows.

    redacted: what was taken out, and how often. partition, offset: where the exchange is in the topic of conversations.
    split: which part of the data it belongs to; all of a customer's are in one.
    """

    customer: str
    question: str
    asked: str
    answered: str
    by: str
    ts: float
    split: Split
    partition: int
    offset: int
    helpful: bool | None = None
    redacted: dict[str, int] = {}

    @property
    def teaches(self) -> bool:
        """Whether the answer is one to be learned: not one that the customer found wanting."""
        return self.helpful is not False
