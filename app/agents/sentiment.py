"""Understand what customers write about products, and learn from the stars that they give.

The language model, where there is one, is asked about many reviews at once; its answers come back in the order of the
log, and are recorded, so that a crash asks, and pays, for none of them again. What is learned is in the table `words`,
with the event that taught it: exactly once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from operator import attrgetter

from app.bank import app, model, reviews, sentiments
from app.models import Review, Sentiment
from app.sentiment import Learner, opinion_of, understood
from app.sentiment.judging import Opinion
from app.tables import words
from pelton import CallCache, Stream

__all__ = ["sentiment"]


async def ask(review: Review) -> Opinion:
    """Ask the model, which may have none."""
    return await opinion_of(model, review.text)


@app.agent(reviews, sink=[sentiments])
async def sentiment(stream: Stream[Review]) -> AsyncIterator[Sentiment]:
    """Score each review, then learn from its stars."""
    opinions = stream.map_async(ask, concurrency=16, order="log", cache=CallCache(by=attrgetter("text")))
    learner = Learner(words)
    async for review, opinion in opinions.pairs():
        yield understood(review, opinion, learner)
        if review.label is not None:
            learner.learn(review.text, review.label)
