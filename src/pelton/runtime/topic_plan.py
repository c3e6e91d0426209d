"""What it takes to bring topics to what a program declares, and what of it would cost records, or their order.

Nothing here asks a log: `plan` compares declarations with what was found, and says of each difference whether it may be
applied. What it refuses, it refuses because the log cannot do it, or because what is there would be lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from pelton.log.contract import TopicSpec
from pelton.log.upkeep import TopicState

__all__ = ["Change", "Contents", "growing", "plan", "settings_declared"]

#: `safe` may be applied; `loss` deletes records, or may; `refused` cannot be done, or not by changing the topic.
Verdict = Literal["safe", "loss", "refused"]

_POLICY = "cleanup.policy"
_RETENTIONS = ("retention.ms", "retention.bytes")


@dataclass(frozen=True, slots=True)
class Contents:
    """What is known of a topic's records: whether there ever were any, and whether the newest have keys."""

    written: bool
    keyed: bool


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between a topic as declared and as it is.

    setting: "topic" where all of it is missing, "partitions", "replicas", or a setting by its Kafka name.
    found, declared: the two values as text; found is "" for what is missing.
    why, hint: why it is not simply applied, and what to do instead; empty for what is safe.
    """

    topic: str
    setting: str
    found: str
    declared: str
    verdict: Verdict = "safe"
    why: str = ""
    hint: str = ""

    @property
    def stops_workers(self) -> bool:
        """Whether a worker refuses to start as long as this difference is there; what is missing it makes."""
        return self.setting in ("partitions", _POLICY)


def settings_declared(spec: TopicSpec) -> dict[str, str]:
    """Return the settings that a declaration asks for, by their Kafka names."""
    settings = {_POLICY: spec.cleanup_policy, **spec.config}
    if spec.retention_ms is not None:
        settings["retention.ms"] = str(spec.retention_ms)
    return settings


def growing(specs: Iterable[TopicSpec], states: Mapping[str, TopicState]) -> list[str]:
    """Return the topics that are declared with more partitions than they have."""
    return [one.name for one in specs if one.name in states and (one.partitions or 0) > states[one.name].partitions]


def plan(
    specs: Iterable[TopicSpec],
    states: Mapping[str, TopicState],
    contents: Mapping[str, Contents],
    *,
    running: bool = False,
) -> list[Change]:
    """Return the differences, topic after topic; nothing when all is as declared.

    states: topic -> how it is; those that are not there do not exist. contents: of those that are `growing`.
    running: whether workers of the application run, which know their topics' partitions from their start.
    """
    changes: list[Change] = []
    for spec in sorted(specs, key=lambda one: one.name):
        state = states.get(spec.name)
        changes += [_creation(spec)] if state is None else _differences(spec, state, contents.get(spec.name))
    return [_together(change, changes, running) for change in changes]


def _creation(spec: TopicSpec) -> Change:
    made = ["as many partitions as the log gives" if spec.partitions is None else f"{spec.partitions} partitions"]
    if spec.replicas is not None:
        made.append(f"{spec.replicas} replicas")
    made += [f"{name}={value}" for name, value in settings_declared(spec).items()]
    return Change(spec.name, "topic", "", ", ".join(made))


def _differences(spec: TopicSpec, state: TopicState, contents: Contents | None) -> Iterator[Change]:
    if spec.partitions not in (None, state.partitions):
        yield _partitions(spec, state, contents)
    if spec.replicas is not None and state.replicas not in (None, spec.replicas):
        yield Change(
            spec.name,
            "replicas",
            str(state.replicas),
            str(spec.replicas),
            "refused",
            "copies move between brokers, which takes as long as the data is large",
            "plan and watch it with kafka-reassign-partitions.sh, or declare the number that there is",
        )
    for name, declared in settings_declared(spec).items():
        found = state.config.get(name)
        if found is None and state.replicas is None:
            continue  # the embedded log has no such setting, and ignores it
        if not _same(name, found or "", declared):
            yield _setting(spec, state, name, found or "", declared)


def _same(name: str, found: str, declared: str) -> bool:
    return set(found.split(",")) == set(declared.split(",")) if name == _POLICY else found == declared


def _partitions(spec: TopicSpec, state: TopicState, contents: Contents | None) -> Change:
    declared = spec.partitions or 0
    change = Change(spec.name, "partitions", str(state.partitions), str(declared))
    anew = "declare a new topic with as many, and copy this one with an agent (stream.through)"
    if declared < state.partitions:
        return replace(
            change,
            verdict="refused",
            why="partitions cannot be taken away: their records would be gone",
            hint=f"declare partitions={state.partitions}; or {anew}",
        )
    if contents is not None and contents.written and contents.keyed:
        return replace(
            change,
            verdict="refused",
            why="it holds records with keys: with more partitions a key goes to another one, away from its state, and "
            "behind nothing of what was sent before",
            hint=anew,
        )
    return change


def _setting(spec: TopicSpec, state: TopicState, name: str, found: str, declared: str) -> Change:
    change = Change(spec.name, name, found, declared)
    if name in _RETENTIONS and _shorter(found, declared):
        return replace(change, verdict="loss", why="what is older, or more, than that is deleted at once")
    if name == _POLICY and declared != "compact":
        why = "what is older than its retention is deleted, also the only record of a key"
        return replace(change, verdict="loss", why=why)
    if name == _POLICY and "compact" not in found:
        return replace(change, verdict="loss", why="of each key, all records but the newest are deleted")
    if name == "unclean.leader.election.enable" and declared == "true":
        return replace(change, verdict="loss", why="a broker that lacks acknowledged records may become the leader")
    if name == "min.insync.replicas" and _above(declared, state.replicas):
        return replace(
            change,
            verdict="refused",
            why=f"the topic has {state.replicas} replica(s): nothing could be written to it any more",
            hint="raise the replicas first",
        )
    return change


def _shorter(found: str, declared: str) -> bool:
    """Whether a retention keeps less; what is no number the log refuses."""
    if declared == "-1" or not declared.isdecimal():
        return False
    return not found.isdecimal() or int(declared) < int(found)


def _above(declared: str, replicas: int | None) -> bool:
    return replicas is not None and declared.isdecimal() and int(declared) > replicas


def _together(change: Change, changes: Iterable[Change], running: bool) -> Change:
    """Return a change as it may be applied beside the others: partitions of one number belong together."""
    if change.setting != "partitions" or change.verdict != "safe":
        return change
    if running:
        return replace(
            change,
            verdict="refused",
            why="workers of the application run, and know it with the partitions that it had at their start",
            hint="stop them, apply, and start them",
        )
    others = [one.topic for one in changes if one.setting == "partitions" and one.verdict == "refused"]
    if not others:
        return change
    return replace(
        change,
        verdict="refused",
        why=f"partition n of every topic belongs together, and {', '.join(others)} must stay as it is",
        hint="see what is said of that",
    )
