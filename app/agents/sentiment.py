"""Understand what customers write about products and in chats, and learn from the stars that they give.

The language model, where there is one, is asked about many texts at once; its answers come back in the order of the
log, and are recorded, so that a crash asks, and pays, for none of them again. What is learned is in the table `words`,
with the event that taught it: exactly once. Messages are judged without it: nobody gives stars to them, and what good
reviews have in common says little of a question.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from operator import attrgetter

from app.bank import app, message_sentiments, model, questions, reviews, sentiments
from app.models import CHAT, Question, Review, Sentiment
from app.sentiment import CountsInMemory, Learner, opinion_of, understood
from app.sentiment.judging import Opinion
from app.tables import words
from pelton import CallCache, Stream

__all__ = ["overhear", "sentiment"]

NOTHING_LEARNED = Learner(CountsInMemory())


async def ask(written: Review | Question) -> Opinion:
    """Ask the model, which may have none."""
    return await opinion_of(model, written.text)


@app.agent(reviews, sink=[sentiments])
async def sentiment(stream: Stream[Review]) -> AsyncIterator[Sentiment]:
    """Score each review, then learn from its stars."""
    opinions = stream.map_async(ask, concurrency=16, order="log", cache=CallCache(by=attrgetter("text")))
    learner = Learner(words)
    async for review, opinion in opinions.pairs():
        yield understood(review, opinion, learner)
        if review.label is not None:
            learner.learn(review.text, review.label)


@app.agent(questions)
async def overhear(stream: Stream[Question]) -> None:
    """Score each message of a chat, beside the agent that answers it."""
    opinions = stream.map_async(ask, concurrency=16, order="log", cache=CallCache(by=attrgetter("text")))
    async for question, opinion in opinions.pairs():
        message = Review(question.id, CHAT, question.text, question.ts)
        await message_sentiments.send(key=CHAT, value=understood(message, opinion, NOTHING_LEARNED))
