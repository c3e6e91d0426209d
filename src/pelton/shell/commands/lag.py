"""`faust -A app lag`: whether the application keeps up, told by watching it for a while, also in the exit status."""

# pyright: basic
# Faust and mode are only partly typed; mypy checks this module strictly all the same.
from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ClassVar

import click
import orjson
from faust.cli.base import cli

from pelton.batch import TopicPartition
from pelton.clock import Clock
from pelton.errors import ConfigurationError, OffsetOutOfRangeError
from pelton.log.contract import Log, OffsetRange, Position
from pelton.metrics.burrow import SEVERITIES, Commit, CommitWindow, worst
from pelton.metrics.lag import PartitionLag
from pelton.shell.commands.columns import columns_text
from pelton.shell.commands.on_log import LogCommand
from pelton.shell.program import build_program

if TYPE_CHECKING:
    from pelton.shell.app import App

__all__ = ["ShowLag"]

_COLUMNS = ("topic", "partition", "committed", "end", "lag", "seconds", "status")
_LOOK_EVERY_S = 1.0


class ShowLag(LogCommand):
    """Tell whether the application keeps up, as Burrow judges it; the exit status is for monitoring and scripts.

    It looks once a second at what the group has committed and where the topics end, for --seconds at most: where
    nothing is left to do it says so at once. OK: there is no lag, or it becomes less. WARN: it commits, and its lag
    never becomes less. STOP: it committed nothing for more than half of the time, and has records that are older.
    REWIND: it was sent back. (STALL, commits that never move, is told by a worker's /metrics and /api/lag: from
    outside, it is a STOP.)

    The exit status is that of the worst partition: 0 OK, 1 WARN, 2 STOP or REWIND, 3 when nobody can tell.
    """

    group: ClassVar[Any] = cli
    name = "lag"
    ex_failure = 3
    options: Any = (
        click.option("--seconds", default=10.0, show_default=True, help="How long to watch at most."),
        click.option("--topic", help="Only this topic."),
        click.option("--json", "as_json", is_flag=True, help="Print JSON: one object a partition and line."),
    )

    def work(self, seconds: float = 10.0, topic: str | None = None, as_json: bool = False) -> int:
        """Watch, and print what was found."""

        async def watch(log: Log) -> Sequence[PartitionLag]:
            topics = (await build_program(self.application)).sources()
            if topic is not None and topic not in topics:
                raise ConfigurationError(f"no agent reads topic {topic!r}", hint=f"they read {', '.join(topics)}")
            gathers_s = _gathers_s(self.application)
            return await _watch(
                log, self.application.conf.id, self.application.clock, topics, topic, seconds, gathers_s
            )

        lags = self.with_log(watch)
        if as_json or self.json:
            for lag in lags:
                click.echo(orjson.dumps(asdict(lag)))
        else:
            _print(lags)
        return SEVERITIES[worst([lag.status for lag in lags])]


def _gathers_s(app: App) -> Mapping[str, float]:
    """Return for how long sinks gather records of a topic at most. What else agents gather, only their workers know."""
    gathers_s: dict[str, float] = {}
    for sink in app.sinks.values():
        for name in sink.get_topic_names():
            gathers_s[name] = max(gathers_s.get(name, 0.0), sink.within_s)
    return gathers_s


class _Outside:
    """What is seen of one partition from outside: a move of what is committed stands for a commit."""

    def __init__(self, watch_ms: int) -> None:
        self.window = CommitWindow(max(2, watch_ms // 1_000), 0, watch_ms // 2)
        self.committed = -1
        self.end = 0

    def look(self, committed: int, end: int, now_ms: int) -> None:
        """Note what is committed, and how far the log goes."""
        self.end = max(end, committed)
        if committed != self.committed:
            self.committed = committed
            self.window.add(Commit(committed, self.end - committed, now_ms))


async def _watch(
    log: Log,
    group_id: str,
    clock: Clock,
    topics: Collection[str],
    topic: str | None,
    seconds: float,
    gathers_s: Mapping[str, float],
) -> Sequence[PartitionLag]:
    """Look at a group for so many seconds, or until nothing is left to do."""
    counts = await log.partitions(topics if topic is None else [topic])
    sources = [TopicPartition(name, number) for name, count in sorted(counts.items()) for number in range(count)]
    seen = {source: _Outside(int(seconds * 1000)) for source in sources}
    deadline_s = clock.monotonic() + seconds
    while True:
        # First what is committed: the log only grows, so that no lag is negative.
        positions = await log.group_positions(group_id, sources)
        spans = await log.offsets(sources)
        now_ms = clock.time_ms()
        for source, one in seen.items():
            one.look(_committed(source, positions, spans), spans[source].end, now_ms)
        left_s = deadline_s - clock.monotonic()
        if left_s <= 0 or all(one.end == one.committed for one in seen.values()):
            break
        await clock.sleep(min(left_s, _LOOK_EVERY_S))
    return [await _tell(log, source, one, now_ms, gathers_s.get(source.topic, 0.0)) for source, one in seen.items()]


def _committed(
    source: TopicPartition, positions: Mapping[TopicPartition, Position], spans: Mapping[TopicPartition, OffsetRange]
) -> int:
    """Return where a group goes on: what was trimmed before it came there is no lag."""
    span = spans[source]
    return max(positions[source].offset, span.start) if source in positions else span.start


async def _tell(log: Log, source: TopicPartition, one: _Outside, now_ms: int, gathers_s: float) -> PartitionLag:
    lag = one.end - one.committed
    lag_s = await _age_s(log, source, one.committed, now_ms) if lag else 0.0
    status = one.window.status(lag, now_ms, lag_s * 1000, gathers_s * 1000)
    return PartitionLag(*source, one.committed, one.end, lag, lag_s, status, one.window.complete, gathers_s)


async def _age_s(log: Log, source: TopicPartition, offset: int, now_ms: int) -> float:
    """Return how old the first record is that is not committed, by its timestamp."""
    try:
        batch = await log.read(source, offset, bytes_max=1, timeout_s=1.0)
    except OffsetOutOfRangeError:  # it was trimmed meanwhile
        return 0.0
    return max(0.0, (now_ms - batch.log_time_ms(0)) / 1000) if batch.offsets else 0.0


def _print(lags: Sequence[PartitionLag]) -> None:
    rows = [
        (one.topic, str(one.partition), str(one.committed), str(one.end), str(one.lag), f"{one.lag_s:.0f}", one.status)
        for one in lags
    ]
    click.echo(columns_text([_COLUMNS, *rows]))
    click.echo(f"\n{worst([one.status for one in lags])}: lag {sum(one.lag for one in lags):,} in all")
