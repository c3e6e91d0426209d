"""Records that look unusual, what is made of them, and what people say about that."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta
from msgspec.structs import astuple, replace

__all__ = ["AnomalyKind", "Feedback", "Judgement", "Judgements", "Suspect", "SuspectSource", "VerdictCounts"]

SuspectSource = Literal["payment", "log", "device"]
#: What an anomaly may be; "harmless" where it is none.
AnomalyKind = Literal["fraud", "attack", "fault", "outage", "harmless", "unclear"]

#: Judgements, and people's words about them, that are kept for each account or service.
KEPT = 20

Id = Annotated[str, Meta(min_length=1, max_length=200)]


class Suspect(msgspec.Struct, frozen=True):
    """A record that is to be judged, with all that whoever judges may see of it.

    id: "<source>:…", so that a replay finds the same one. key: the account, the service, or the device.
    selected: whether statistics find it suspicious; otherwise it is of the sample of those that they do not.
    score: how unusual statistics find it, 0 to 1. signals: what is unusual in it, in bits of surprise; of a
        device's reading, in standard deviations.
    record: its fields. usual: what is known of its account or service. Their texts are others' words, data only.
    ts: event time, seconds since the epoch.
    """

    id: str
    source: SuspectSource
    key: str
    ts: float
    selected: bool
    score: float
    signals: dict[str, float]
    record: dict[str, str | float]
    usual: dict[str, str | float]


class Judgement(msgspec.Struct, frozen=True):
    """What was made of a suspect. It is an alert where it is anomalous.

    score: of statistics; model_score: the model's, None where there is no answer of it. Both 0 to 1.
    by: "statistics", or the model's name. why: why it was not the model, or why the model is not followed.
    """

    id: str
    source: SuspectSource
    key: str
    ts: float
    selected: bool
    anomalous: bool
    score: float
    model_score: float | None
    kind: AnomalyKind
    explanation: str
    signals: dict[str, float]
    record: dict[str, str | float]
    by: str
    why: str = ""


class Feedback(msgspec.Struct, frozen=True):
    """What a person says about a judgement. key: its account or service, which is the record's key too.

    right: whether the judgement is right, be it an alert or none. The last word counts.
    """

    judgement: Id
    key: Annotated[str, Meta(min_length=1, max_length=64)]
    right: bool
    ts: Annotated[float, Meta(ge=0, lt=4_102_444_800)]


class VerdictCounts(msgspec.Struct, frozen=True):
    """How many judgements there were, and how people found them. passed: those that are no alerts."""

    alerts: int = 0
    alerts_right: int = 0
    alerts_wrong: int = 0
    passed: int = 0
    passed_right: int = 0
    passed_wrong: int = 0

    def plus(self, judgement: Judgement, *, count: int = 0, right: bool | None = None, times: int = 1) -> VerdictCounts:
        """Return the counts with so many more judgements, or with people's word about one, so many times."""
        kind = "alerts" if judgement.anomalous else "passed"
        more = {kind: count}
        if right is not None:
            more[f"{kind}_{'right' if right else 'wrong'}"] = times
        return replace(self, **{name: getattr(self, name) + by for name, by in more.items()})

    def merged(self, other: VerdictCounts) -> VerdictCounts:
        """Return the counts of two partitions as one."""
        return VerdictCounts(*(one + more for one, more in zip(astuple(self), astuple(other), strict=True)))

    @property
    def precision(self) -> float | None:
        """The share of alerts that people found right, of those they looked at; None without any."""
        return _share(self.alerts_right, self.alerts_wrong)

    @property
    def missed(self) -> float | None:
        """The share of records without an alert that should have had one, of those people looked at; None without."""
        return _share(self.passed_wrong, self.passed_right)


class Judgements(msgspec.Struct, frozen=True):
    """The latest judgements of an account or a service, newest first; and what people said, by judgement."""

    latest: list[Judgement] = []
    said: dict[str, bool] = {}

    def of(self, name: str) -> Judgement | None:
        """Return a judgement, None when it is not there (any more)."""
        return next((one for one in self.latest if one.id == name), None)

    def with_judgement(self, judgement: Judgement) -> Judgements:
        """Return them with one more in front."""
        return Judgements([judgement, *self.latest][:KEPT], self.said)

    def with_feedback(self, feedback: Feedback) -> Judgements:
        """Return them with a person's last word, also about a judgement that is still to come."""
        rest = [(name, right) for name, right in self.said.items() if name != feedback.judgement]
        return Judgements(self.latest, dict([*rest, (feedback.judgement, feedback.right)][-2 * KEPT :]))


def _share(part: int, rest: int) -> float | None:
    return part / (part + rest) if part + rest else None
