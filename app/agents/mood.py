"""Follow how each product's reviews, and customers' messages, sound, hour by hour of event time; tell of drops."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pelton
from app.bank import app, message_sentiments, mood_alerts, sentiments
from app.models import MoodAlert, MoodHour, Sentiment
from app.sentiment import ASPECTS
from app.tables import moods
from pelton import Stream, WindowResult
from pelton.aggregate import Aggregate, Count, Mean, Sum, Variance

__all__ = ["message_mood", "mood"]

HOUR_S = 3600
#: Reviews of a product are in one partition of their topic. Messages come from all of theirs, of which one may lag.
GRACE_S = 60
MESSAGE_GRACE_S = HOUR_S


def _speaks_of(aspect: str) -> Callable[[Sentiment], int]:
    return lambda one: int(aspect in one.aspects)


def _score_of(aspect: str) -> Callable[[Sentiment], float]:
    return lambda one: one.aspects.get(aspect, 0.0)


AGGREGATES: dict[str, Aggregate[Any]] = {
    "reviews": Count(),
    "mean": Mean(Sentiment.score),
    "variance": Variance(Sentiment.score, ddof=0),
    **{f"{aspect} named": Sum(_speaks_of(aspect)) for aspect in ASPECTS},
    **{f"{aspect} score": Sum(_score_of(aspect)) for aspect in ASPECTS},
}


@app.agent(sentiments, sink=[mood_alerts])
async def mood(stream: Stream[Sentiment]) -> AsyncIterator[MoodAlert]:
    """Keep the trend of each product."""
    async for alert in followed(stream, GRACE_S):
        yield alert


@app.agent(message_sentiments, sink=[mood_alerts])
async def message_mood(stream: Stream[Sentiment]) -> AsyncIterator[MoodAlert]:
    """Keep the trend of what customers write in chats."""
    async for alert in followed(stream, MESSAGE_GRACE_S):
        yield alert


async def followed(stream: Stream[Sentiment], grace_s: int) -> AsyncIterator[MoodAlert]:
    """Put each hour behind those before, and yield an alert when it lies far below them."""
    hours = stream.window(pelton.tumbling(HOUR_S), time=Sentiment.ts, grace=grace_s).agg(**AGGREGATES)
    async for window in hours.on_close():
        trend, hour = moods[window.key], hour_of(window)
        alert = trend.drop(window.key, hour)
        if alert is not None:
            yield alert
        moods[window.key] = trend.after(hour, alert)


def hour_of(window: WindowResult) -> MoodHour:
    """Return what a window came to."""
    named = {aspect: window[f"{aspect} named"] for aspect in ASPECTS if window[f"{aspect} named"]}
    return MoodHour(
        start=window.start_ms / 1000,
        reviews=window["reviews"],
        mean=window["mean"],
        variance=window["variance"] or 0.0,
        aspects={aspect: (count, window[f"{aspect} score"] / count) for aspect, count in named.items()},
    )
