"""What is remembered to tell what is unusual, and what was made of it.

`surprises` and `verdict_counts` are rows of each partition; the others are keyed by account or service.
"""

from __future__ import annotations

from app.bank import app
from app.models import Judgements, VerdictCounts
from app.models.habit import Habit, Usual

__all__ = ["habits", "judgements_of", "surprises", "verdict_counts"]

habits = app.Table(
    "habits", default=Habit, key_type=str, value_type=Habit, partitions=4, help="What the account usually does."
)

surprises = app.Table(
    "surprises",
    default=Usual,
    key_type=str,
    value_type=Usual,
    partitions=4,
    help="How surprising the records of this partition were.",
)

judgements_of = app.Table(
    "judgements",
    default=Judgements,
    key_type=str,
    value_type=Judgements,
    partitions=4,
    help="The latest judgements of the account or service, and what people said of them.",
)

verdict_counts = app.Table(
    "verdict_counts",
    default=VerdictCounts,
    key_type=str,
    value_type=VerdictCounts,
    partitions=4,
    help="How right the judgements of this partition are, by source and by who judged.",
)
