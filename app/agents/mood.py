"""Follow how each product's reviews sound, hour by hour of event time, and tell when they drop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pelton
from app.bank import app, mood_alerts, sentiments
from app.models import MoodAlert, MoodHour, Sentiment
from app.sentiment import ASPECTS
from app.tables import moods
from pelton import Stream, WindowResult
from pelton.aggregate import Aggregate, Count, Mean, Sum, Variance

__all__ = ["mood"]

HOUR_S = 3600


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
    """Keep the trend of each product, and alert when an hour lies far below those before."""
    hours = stream.window(pelton.tumbling(HOUR_S), time=Sentiment.ts, grace=60).agg(**AGGREGATES)
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
