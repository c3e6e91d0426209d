"""Models that are deployed through the log: what is asked of the registry, what it holds, and what models say."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from app.models.review import Label

__all__ = [
    "STAGES",
    "ModelOrder",
    "ModelVersion",
    "Outcome",
    "Prediction",
    "Promote",
    "Publish",
    "Registry",
    "Retire",
    "Role",
    "Rollback",
    "Stage",
    "VersionHour",
    "VersionQuality",
    "version_key",
]

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Time = Annotated[float, Meta(ge=0, lt=4_102_444_800)]
Stage = Literal["candidate", "shadow", "canary", "production", "retired", "refused"]
#: Stages in which a version is asked.
Role = Literal["shadow", "canary", "production"]
STAGES: tuple[Role, Role, Role] = ("production", "canary", "shadow")

#: What a record of the topic can bear: Kafka takes a mebibyte, and JSON makes four bytes of three.
ARTIFACT_BYTES_MAX = 700_000
#: Versions that are kept besides those that are asked, and what was decided lately.
VERSIONS_KEPT = 12
OUTCOMES_KEPT = 20
HOURS_KEPT = 48
#: Versions of a model whose quality is kept: more than the registry has, for some are on their way.
QUALITIES_KEPT = 32


class Publish(msgspec.Struct, frozen=True, tag=True):
    """Here is a version. artifact: as `app.deployment.artifacts` packs it; sha256: of these bytes, in hex.

    metrics: how it did when it was made. lineage: what it was made of.
    """

    name: Name
    version: Name
    artifact: Annotated[bytes, Meta(max_length=ARTIFACT_BYTES_MAX)]
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    ts: Time
    metrics: dict[str, float] = {}
    lineage: dict[str, str] = {}


class Promote(msgspec.Struct, frozen=True, tag=True):
    """Ask a version from now on. share: of the subjects, for a canary."""

    name: Name
    version: Name
    stage: Role
    ts: Time
    share: Annotated[float, Meta(gt=0, le=1)] = 0.1


class Retire(msgspec.Struct, frozen=True, tag=True):
    """Ask a version no more; it may be promoted again."""

    name: Name
    version: Name
    ts: Time


class Rollback(msgspec.Struct, frozen=True, tag=True):
    """Go back to the version that was in production before."""

    name: Name
    ts: Time
    why: Annotated[str, Meta(max_length=200)] = ""


ModelOrder = Publish | Promote | Retire | Rollback


class ModelVersion(msgspec.Struct, frozen=True):
    """What is known of a version. bytes: of its artifact. why: it was refused, or retired."""

    version: str
    sha256: str
    bytes: int
    stage: Stage
    published: float
    metrics: dict[str, float] = {}
    lineage: dict[str, str] = {}
    why: str = ""


class Outcome(msgspec.Struct, frozen=True):
    """What became of an order. told: what was done, or why not."""

    name: str
    version: str
    done: bool
    told: str
    ts: float


class Registry(msgspec.Struct, frozen=True):
    """The versions of a model, oldest first. share: of the subjects, whose answer is the canary's.

    past: versions that were in production before this one, latest last. outcomes: latest first.
    """

    versions: list[ModelVersion] = []
    share: float = 0.0
    past: list[str] = []
    outcomes: list[Outcome] = []

    def of(self, version: str) -> ModelVersion | None:
        """Return what is known of a version."""
        return next((one for one in self.versions if one.version == version), None)

    def at(self, stage: Stage) -> ModelVersion | None:
        """Return the version at a stage; production, canary and shadow have one at most."""
        return next((one for one in self.versions if one.stage == stage), None)

    def moved(self, version: str, stage: Stage, why: str = "") -> Registry:
        """Return the registry with a version at another stage."""
        moved = [
            msgspec.structs.replace(one, stage=stage, why=why) if one.version == version else one
            for one in self.versions
        ]
        return msgspec.structs.replace(self, versions=moved)


class Prediction(msgspec.Struct, frozen=True):
    """What a version said of a subject (a review, a question). role: a shadow's answer is for comparison only.

    confidence: the probability of the label, by the version. truth: what it was, where that is known already.
    """

    subject: str
    model: str
    version: str
    role: Role
    label: Label
    confidence: float
    ts: float
    truth: Label | None = None


class VersionHour(msgspec.Struct, frozen=True):
    """An hour of a version. start: seconds since the epoch."""

    start: float
    predictions: int = 0
    judged: int = 0
    right: int = 0


class VersionQuality(msgspec.Struct, frozen=True):
    """How a version does, in a partition. mixed: "<truth> taken for <label>" -> how often, where they differ."""

    predictions: int = 0
    judged: int = 0
    right: int = 0
    mixed: dict[str, int] = {}
    hours: list[VersionHour] = []

    @property
    def accuracy(self) -> float | None:
        """The share that was right, of those of which the truth is known."""
        return self.right / self.judged if self.judged else None

    def predicted(self, hour: float) -> VersionQuality:
        """Return the quality with one more prediction. hour: in which it was made, seconds since the epoch."""
        more = msgspec.structs.replace(self, predictions=self.predictions + 1)
        return more._in_hour(VersionHour(hour, predictions=1))

    def told(self, hour: float, label: Label, truth: Label) -> VersionQuality:
        """Return the quality with the truth of a prediction of that hour."""
        right, mixed = int(label == truth), self.mixed
        if not right:
            what = f"{truth} taken for {label}"
            mixed = mixed | {what: mixed.get(what, 0) + 1}
        more = msgspec.structs.replace(self, judged=self.judged + 1, right=self.right + right, mixed=mixed)
        return more._in_hour(VersionHour(hour, judged=1, right=right))

    def plus(self, other: VersionQuality) -> VersionQuality:
        """Return both together: the same version, in two partitions."""
        mixed = {what: self.mixed.get(what, 0) + other.mixed.get(what, 0) for what in {**self.mixed, **other.mixed}}
        whole = VersionQuality(
            self.predictions + other.predictions,
            self.judged + other.judged,
            self.right + other.right,
            mixed,
            self.hours,
        )
        for hour in other.hours:
            whole = whole._in_hour(hour)
        return whole

    def _in_hour(self, more: VersionHour) -> VersionQuality:
        hours = {one.start: one for one in self.hours}
        so_far = hours.get(more.start, VersionHour(more.start))
        hours[more.start] = VersionHour(
            more.start, so_far.predictions + more.predictions, so_far.judged + more.judged, so_far.right + more.right
        )
        return msgspec.structs.replace(self, hours=[hours[start] for start in sorted(hours)][-HOURS_KEPT:])


def version_key(name: str, version: str) -> str:
    """Return the key of a version's artifact, and of its quality."""
    return f"{name}/{version}"
