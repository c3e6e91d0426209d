"""What is remembered on the way from conversations to data; all but `consents` is of its partition, not of its key."""

from __future__ import annotations

from app.bank import app
from app.models import WordCounts
from app.models.training import Held

__all__ = ["consents", "held_exchanges", "lessons", "near_duplicates", "training_counts"]

consents = app.Table(
    "training_consents",
    default=bool,
    key_type=str,
    value_type=bool,
    partitions=4,
    help="Whether a customer's conversations may be used for training.",
)

held_exchanges = app.Table(
    "held_exchanges", key_type=str, value_type=Held, partitions=4, help="Exchanges that wait for feedback, by question."
)

near_duplicates = app.Table(
    "near_duplicates",
    key_type=str,
    value_type=list[int],
    partitions=4,
    help="Examples that were taken in, and where they are found by their likes.",
)

training_counts = app.Table(
    "training_counts",
    default=int,
    key_type=str,
    value_type=int,
    partitions=4,
    help="What became of exchanges, in this partition.",
)

lessons = app.Table(
    "lessons",
    default=WordCounts,
    key_type=str,
    value_type=WordCounts,
    partitions=4,
    help="What was learned of questions, from whether their answers helped.",
)
