"""What is remembered of reviews and messages. `words` is what a partition has learned; `moods` is keyed by product."""

from __future__ import annotations

from app.bank import app
from app.models import MoodTrend, WordCounts

__all__ = ["moods", "words"]

words = app.Table(
    "words",
    default=WordCounts,
    key_type=str,
    value_type=WordCounts,
    partitions=4,
    help="How often each word was seen in reviews of each label.",
)

moods = app.Table(
    "moods",
    default=MoodTrend,
    key_type=str,
    value_type=MoodTrend,
    partitions=4,
    help="A product's reviews, or a channel's messages, hour by hour.",
)
