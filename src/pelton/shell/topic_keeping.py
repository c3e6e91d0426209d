"""The topics of an application as declared, against what its log has: looked at, compared, and changed."""

# pyright: basic
# It asks Faust's settings, which are only partly typed; mypy checks it strictly all the same.
from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from pelton.batch import TopicPartition
from pelton.errors import ConfigurationError, OffsetOutOfRangeError
from pelton.log.contract import Log, TopicSpec
from pelton.log.upkeep import TopicState, Upkeep
from pelton.runtime.pauses import control_spec
from pelton.runtime.topic_plan import Change, Contents, growing, plan
from pelton.runtime.topics import Layout, Topics
from pelton.shell.program import build_program

if TYPE_CHECKING:
    from pelton.shell.app import App

__all__ = ["Comparison", "apply", "compare", "declared_topics", "upkeep"]

_SAMPLE_BYTES = 256 * 1024
_READ_S = 5.0


@dataclass(frozen=True, slots=True)
class Comparison:
    """The topics of an application. specs: as declared. states: topic -> as the log has it. changes: between both.

    left: topics named like the application's own that it does not declare (any more).
    """

    specs: Sequence[TopicSpec]
    states: Mapping[str, TopicState]
    changes: Sequence[Change]
    left: Sequence[str]


def upkeep(log: Log) -> Upkeep:
    """Return a log as what can be kept in order. Raises: ConfigurationError."""
    if not isinstance(log, Upkeep):
        raise ConfigurationError(f"the topics of a {type(log).__name__} cannot be changed")
    return log


async def declared_topics(app: App, log: Log) -> tuple[Topics, list[TopicSpec]]:
    """Return what a program's topics are to be: those its workers make at their start, and what knows their counts."""
    app_id = str(app.conf.id)
    layout = Layout.of(app_id, int(app.conf.topic_partitions), app.config)
    topics = Topics(await build_program(app), log, app.clock, layout)
    return topics, [*(await topics.wanted()), control_spec(app_id)]


async def compare(app: App, log: Log) -> Comparison:
    """Return the application's topics as declared and as they are. Raises: ConfigurationError, UnavailableError."""
    _, specs = await declared_topics(app, log)
    states = await upkeep(log).states(spec.name for spec in specs)
    contents = {name: await _contents(log, states[name]) for name in growing(specs, states)}
    running = bool(contents) and bool(await log.group_members(str(app.conf.id)))
    names = {spec.name for spec in specs}
    left = sorted(name for name in await log.topics() if name.startswith(f"{app.conf.id}-") and name not in names)
    return Comparison(specs, states, plan(specs, states, contents, running=running), left)


async def _contents(log: Log, state: TopicState) -> Contents:
    """Look whether there ever were records, and for keys among the newest of each partition."""
    spans = await log.offsets(TopicPartition(state.name, number) for number in range(state.partitions))
    written = any(span.end for span in spans.values())
    keyed = "compact" in state.config["cleanup.policy"]
    for partition, span in spans.items():
        if keyed or span.start == span.end:
            continue
        try:
            batch = await log.read(
                partition, max(span.start, span.end - 100), bytes_max=_SAMPLE_BYTES, timeout_s=_READ_S
            )
        except OffsetOutOfRangeError:  # deleted meanwhile
            continue
        keyed = any(key is not None for key in batch.keys)
    return Contents(written, keyed)


async def apply(log: Log, specs: Sequence[TopicSpec], changes: Sequence[Change]) -> AsyncIterator[str]:
    """Carry out changes, and tell each topic that is done. changes: those that are to be, topic after topic.

    Raises: ConfigurationError when the log refuses one, UnavailableError; what was told before is done.
    """
    by_name = {spec.name: spec for spec in specs}
    kept = upkeep(log)
    for name, group in groupby(changes, lambda change: change.topic):
        settings: dict[str, str] = {}
        for change in group:
            if change.setting == "topic":
                await log.declare([by_name[name]])
            elif change.setting == "partitions":
                await kept.grow(name, int(change.declared))
            else:
                settings[change.setting] = change.declared
        if settings:
            await kept.configure(name, settings)
        yield name
