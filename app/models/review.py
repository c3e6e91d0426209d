"""What customers say about the bank's products, and how it is understood."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

__all__ = ["CHAT", "LABELS", "Label", "MoodAlert", "MoodHour", "MoodTrend", "Review", "Sentiment", "WordCounts"]

Label = Literal["negative", "neutral", "positive"]
LABELS: tuple[Label, Label, Label] = ("negative", "neutral", "positive")

#: The channel that stands where reviews have a product, for messages that customers write in chats.
CHAT = "chat"

#: Hours of a product's past that are kept.
HOURS_KEPT = 72
ALERTS_KEPT = 5
#: What makes a drop: so many reviews before and now, and so many standard errors below.
BEFORE_MIN = 30
NOW_MIN = 8
DROP_Z = 3.5


class Review(msgspec.Struct, frozen=True):
    """What a customer wrote about a product.

    stars: 1 to 5, where the customer gave any; the scorer learns from these. ts: seconds since the epoch.
    """

    id: Annotated[str, Meta(min_length=1, max_length=64)]
    product: Annotated[str, Meta(min_length=1, max_length=64)]
    text: Annotated[str, Meta(min_length=1, max_length=5_000)]
    ts: Annotated[float, Meta(ge=0, lt=4_102_444_800)]
    stars: Annotated[int, Meta(ge=1, le=5)] | None = None

    @property
    def label(self) -> Label | None:
        """What the stars say."""
        if self.stars is None:
            return None
        return "negative" if self.stars < 3 else "positive" if self.stars > 3 else "neutral"


class Sentiment(msgspec.Struct, frozen=True):
    """How a review, or a message in a chat, was understood.

    review: the id of either. product: the channel, where it is a message.
    score: from -1 (bad) to 1 (good). aspects: what it speaks of, each with a score of its own.
    by: which scorer says so: "vader", "learned", or the model's name. why: why it was not the model, where there is one
    that did not answer. labels: what each scorer that was asked said. stars: the label of the customer's stars.
    """

    review: str
    product: str
    label: Label
    score: float
    by: str
    ts: float
    aspects: dict[str, float] = {}
    why: str = ""
    labels: dict[str, Label] = {}
    stars: Label | None = None


class WordCounts(msgspec.Struct, frozen=True):
    """How often a word was seen in reviews of each label; also of all words, and of reviews."""

    negative: int = 0
    neutral: int = 0
    positive: int = 0

    def of(self, label: Label) -> int:
        """Return the count of one label."""
        count: int = getattr(self, label)
        return count

    def plus(self, label: Label, count: int = 1) -> WordCounts:
        """Return the counts with some more of one label."""
        return msgspec.structs.replace(self, **{label: self.of(label) + count})

    def minus(self, other: WordCounts) -> WordCounts:
        """Return the counts without those of another."""
        return WordCounts(*(self.of(label) - other.of(label) for label in LABELS))

    @property
    def total(self) -> int:
        """All labels together."""
        return self.negative + self.neutral + self.positive


class MoodHour(msgspec.Struct, frozen=True):
    """What an hour's reviews of a product came to. aspects: name -> how many reviews spoke of it, and their mean score.

    start: of the hour, seconds since the epoch. variance: of the scores.
    """

    start: float
    reviews: int
    mean: float
    variance: float
    aspects: dict[str, tuple[int, float]] = {}


class MoodAlert(msgspec.Struct, frozen=True):
    """A product's reviews became much worse.

    before, now: mean scores of the hours before, and of this hour. z: how many standard errors this hour is below.
    worst: the aspect that reviews of this hour liked least; "" when they speak of none.
    """

    id: str
    product: str
    ts: float
    before: float
    now: float
    z: float
    reviews: int
    worst: str


class MoodTrend(msgspec.Struct, frozen=True):
    """The hours of a product, oldest first, and its latest alerts, newest first."""

    hours: list[MoodHour] = []
    alerts: list[MoodAlert] = []

    def after(self, hour: MoodHour, alert: MoodAlert | None) -> MoodTrend:
        """Return the trend with one more hour, and the alert that it raised, if any."""
        alerts = self.alerts if alert is None else [alert, *self.alerts][:ALERTS_KEPT]
        return MoodTrend([*self.hours, hour][-HOURS_KEPT:], alerts)

    @property
    def slope(self) -> float:
        """How much the mean score changes in a day, by least squares over the hours, each by its reviews; 0 for one."""
        weight = sum(hour.reviews for hour in self.hours)
        if len(self.hours) < 2:
            return 0.0
        middle = sum(hour.start * hour.reviews for hour in self.hours) / weight
        mean = sum(hour.mean * hour.reviews for hour in self.hours) / weight
        spread = sum(hour.reviews * (hour.start - middle) ** 2 for hour in self.hours)
        both = sum(hour.reviews * (hour.start - middle) * (hour.mean - mean) for hour in self.hours)
        return both / spread * 86_400 if spread else 0.0

    def drop(self, product: str, hour: MoodHour) -> MoodAlert | None:
        """Return an alert when an hour lies far below those before: a one-sided z-test of its mean."""
        reviews = sum(one.reviews for one in self.hours)
        if reviews < BEFORE_MIN or hour.reviews < NOW_MIN:
            return None
        before = sum(one.mean * one.reviews for one in self.hours) / reviews
        squares = sum(one.reviews * (one.variance + (one.mean - before) ** 2) for one in self.hours)
        error = (max(squares / reviews, 0.01) / hour.reviews) ** 0.5
        z = (hour.mean - before) / error
        if z > -DROP_Z:
            return None
        worst = min(hour.aspects, key=lambda name: hour.aspects[name][1], default="")
        return MoodAlert(
            id=f"{product}:{hour.start:.0f}",
            product=product,
            ts=hour.start,
            before=round(before, 3),
            now=round(hour.mean, 3),
            z=round(z, 2),
            reviews=hour.reviews,
            worst=worst,
        )
