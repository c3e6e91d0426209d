"""What becomes of an order: a pure function of the registry and the order, so a replay decides the same.

candidate ──▶ shadow ──▶ canary ──▶ production ──▶ retired        an order may skip steps, and go back
│ Promote                           ▲  └ Promote of another one      │
└───────────────────────────────────┴─────────── Rollback ───────────┘
refused: damaged; it never goes anywhere, but may be published again
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace

from app.deployment.artifacts import DamagedError, unpack
from app.models import ModelOrder, ModelVersion, Outcome, Promote, Publish, Registry, Retire, Rollback
from app.models.registry import OUTCOMES_KEPT, STAGES, VERSIONS_KEPT

__all__ = ["Decided", "decided"]


IN_PRODUCTION = "is in production: roll it back, or promote another one"


class Decided(NamedTuple):
    """What an order leads to. gone: versions whose artifacts are to be dropped."""

    registry: Registry
    outcome: Outcome
    gone: list[str]


def decided(registry: Registry, order: ModelOrder) -> Decided:
    """Return the registry behind an order, and what is told of it."""
    match order:
        case Publish():
            after, done, told = _published(registry, order)
        case Promote():
            after, done, told = _promoted(registry, order)
        case Retire():
            after, done, told = _retired(registry, order)
        case Rollback():
            after, done, told = _rolled_back(registry, order)
    version = _production(after) if isinstance(order, Rollback) else order.version
    outcome = Outcome(order.name, version, done, told, order.ts)
    kept, gone = _kept(after)
    return Decided(replace(kept, outcomes=[outcome, *registry.outcomes][:OUTCOMES_KEPT]), outcome, gone)


def _published(registry: Registry, order: Publish) -> tuple[Registry, bool, str]:
    known = registry.of(order.version)
    if known is not None and known.stage != "refused":
        return registry, False, f"version {order.version} exists: publish it under another name"
    try:
        unpack(order.artifact, order.sha256)
        stage, why = "candidate", ""
    except DamagedError as error:
        stage, why = "refused", str(error)
    made = ModelVersion(
        version=order.version,
        sha256=order.sha256,
        bytes=len(order.artifact),
        stage="refused" if why else "candidate",
        published=order.ts,
        metrics=order.metrics,
        lineage=order.lineage,
        why=why,
    )
    others = [one for one in registry.versions if one.version != order.version]
    told = f"refused, it is damaged: {why}" if why else f"a {stage} of {len(order.artifact):,} bytes"
    return replace(registry, versions=[*others, made]), not why, told


def _promoted(registry: Registry, order: Promote) -> tuple[Registry, bool, str]:
    known = registry.of(order.version)
    if known is None or known.stage == "refused":
        why = "was never published" if known is None else f"was refused: {known.why}"
        return registry, False, f"version {order.version} {why}"
    there = registry.at(order.stage)
    if known.stage == "production":
        return registry, False, f"version {order.version} {IN_PRODUCTION}"
    if there is not None and there is not known:
        registry = registry.moved(there.version, "retired", f"{order.version} came in its place")
        if order.stage == "production":
            registry = replace(registry, past=[*registry.past, there.version])
    registry = registry.moved(order.version, order.stage)
    share = order.share if order.stage == "canary" else registry.share
    told = f"canary for {order.share:.0%}" if order.stage == "canary" else order.stage
    return replace(registry, share=share), True, f"{known.stage} to {told}"


def _retired(registry: Registry, order: Retire) -> tuple[Registry, bool, str]:
    known = registry.of(order.version)
    if known is None or known.stage in ("refused", "retired"):
        return registry, False, f"version {order.version} is not asked"
    if known.stage == "production":
        return registry, False, f"version {order.version} {IN_PRODUCTION}"
    return registry.moved(order.version, "retired", "by order"), True, f"{known.stage} to retired"


def _rolled_back(registry: Registry, order: Rollback) -> tuple[Registry, bool, str]:
    now = registry.at("production")
    if now is None or not registry.past:
        return registry, False, "no version was in production before"
    before = registry.past[-1]
    back = registry.moved(now.version, "retired", order.why or f"rolled back to {before}").moved(before, "production")
    return replace(back, past=registry.past[:-1]), True, f"{now.version} back to {before}"


def _production(registry: Registry) -> str:
    now = registry.at("production")
    return now.version if now is not None else ""


def _kept(registry: Registry) -> tuple[Registry, list[str]]:
    """Return the registry without the oldest versions that nobody asks, and which these are.

    The version before the one in production stays, so that there is one to go back to.
    """
    idle = [
        one.version for one in registry.versions if one.stage not in STAGES and one.version not in registry.past[-1:]
    ]
    gone = idle[: max(0, len(idle) - VERSIONS_KEPT)]
    versions = [one for one in registry.versions if one.version not in gone]
    return replace(registry, versions=versions, past=[one for one in registry.past if one not in gone]), gone
