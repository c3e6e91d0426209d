"""What customers ask, what they are answered, and what is remembered of a conversation."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

__all__ = ["A_PERSON", "Answer", "ChatReply", "Conversation", "HandOver", "PersonAnswer", "Question", "Turn"]

#: Turns of a conversation that are kept.
TURNS_KEPT = 20
#: Who a turn is by where no machine has answered.
A_PERSON = "a person"


class Question(msgspec.Struct, frozen=True):
    """What a customer asks. account: whose customer it is; the key, so one customer's questions stay in order.

    id: chosen by the bank when it takes the question. ts: when, seconds since the epoch.
    """

    id: Annotated[str, Meta(min_length=1, max_length=64)]
    account: Annotated[str, Meta(min_length=1, max_length=64)]
    text: Annotated[str, Meta(min_length=1, max_length=2_000)]
    ts: Annotated[float, Meta(ge=0, lt=4_102_444_800)]


class Answer(msgspec.Struct, frozen=True):
    """What a question is answered. by: "faq", or the model's name. why: why it was not the model, if that failed.

    looked_up: the tools that were used, in order. hand_over: why a person is to go on; "" when none is.
    """

    text: str
    by: str
    why: str = ""
    looked_up: list[str] = []
    hand_over: str = ""


class PersonAnswer(msgspec.Struct, frozen=True):
    """What a person of the bank says in a conversation that was handed over. id: chosen by the bank."""

    id: Annotated[str, Meta(min_length=1, max_length=64)]
    account: Annotated[str, Meta(min_length=1, max_length=64)]
    text: Annotated[str, Meta(min_length=1, max_length=2_000)]
    ts: Annotated[float, Meta(ge=0, lt=4_102_444_800)]


class Turn(msgspec.Struct, frozen=True):
    """A question and its answer; asked is "" where a person says something without a question before."""

    question: str
    asked: str
    answered: str
    by: str
    ts: float


class Conversation(msgspec.Struct, frozen=True):
    """The latest turns with one customer, oldest first. waits_for_person: why, since somebody is to take over."""

    turns: list[Turn] = []
    waits_for_person: str = ""

    def after(self, question: Question, answer: Answer) -> Conversation:
        """Return the conversation with one more turn."""
        turn = Turn(question.id, question.text, answer.text, answer.by, question.ts)
        return Conversation([*self.turns, turn][-TURNS_KEPT:], answer.hand_over or self.waits_for_person)

    def after_person(self, said: PersonAnswer) -> Conversation:
        """Return the conversation with what a person said: it waits for nobody any more. The same word counts once."""
        if any(turn.question == said.id for turn in self.turns):
            return self
        turn = Turn(said.id, "", said.text, A_PERSON, said.ts)
        return Conversation([*self.turns, turn][-TURNS_KEPT:])


class ChatReply(msgspec.Struct, frozen=True):
    """A piece of an answer, or all of it, on its way to the one who asks.

    kind: "text" is a piece that may still be taken back, "void" takes all of them back, "answer" is the whole, which is
    committed with the conversation.
    """

    question: str
    kind: Literal["text", "void", "answer"]
    text: str = ""
    answer: Answer | None = None


class HandOver(msgspec.Struct, frozen=True):
    """A conversation that a person is to go on with."""

    account: str
    question: str
    text: str
    reason: str
    ts: float
