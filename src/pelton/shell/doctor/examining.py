"""Looking at an application's log, its machine and its settings."""

# pyright: basic
# It asks Faust's settings, which are only partly typed; mypy checks it strictly all the same.
from __future__ import annotations

import os
import resource
import shutil
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from pelton.batch import OutgoingBatch, TopicPartition
from pelton.errors import ConfigurationError, CopartitioningError, OffsetOutOfRangeError, PeltonError
from pelton.log.contract import GroupOptions, Log, OffsetRange, Position, TopicSpec
from pelton.log.sqlite import SqliteLog
from pelton.log.upkeep import Disk, TopicState, Upkeep
from pelton.runtime.deadletter import dead_letter_topic
from pelton.shell.doctor.findings import Examined, Lag, Settings
from pelton.shell.guard import check_bind, is_loopback
from pelton.shell.program import build_program
from pelton.shell.topic_keeping import compare, declared_topics, upkeep

if TYPE_CHECKING:
    from pelton.shell.app import App

__all__ = ["examine"]

_INTERNAL = ("__consumer_offsets", "__transaction_state")
_READ_S = 2.0
_PROBE_S = 10.0


async def examine(app: App, log: Log, *, probe: bool = True) -> Examined:
    """Return what there is to judge. probe: whether to write a record to a topic of its own, for the log's clock.

    Raises: UnavailableError, ConfigurationError.
    """
    app_id = str(app.conf.id)
    program = await build_program(app)
    sources = frozenset(program.sources())
    comparison = await compare(app, log)
    kept = upkeep(log)
    servers = await kept.servers()
    counts = await log.partitions([*sources, dead_letter_topic(app_id)])
    members = await log.group_members(app_id)
    ahead_s, why = await _clock(app, log) if probe and servers else (None, "")
    lacking: Mapping[str, int] = getattr(log.statistics(), "under_replicated", {})
    places = _places(app, log)
    settings = _settings(app, log)
    letters = await log.offsets(
        TopicPartition(dead_letter_topic(app_id), number) for number in range(counts.get(dead_letter_topic(app_id), 0))
    )
    return Examined(
        application=app_id,
        settings=settings,
        servers=servers,
        topics=comparison.states,
        internal=await _internal(kept) if servers else {},
        sources=sources,
        changes=comparison.changes,
        mispartitioned=await _mispartitioned(app, log),
        workers=len(members),
        numbers=max((counts[name] for name in sources if name in counts), default=0),
        under_replicated={
            name: count for name, count in lacking.items() if name in _INTERNAL or name in comparison.states
        },
        clock_ahead_s=ahead_s,
        clock_why=why,
        disks=_disks(places),
        places={what: (str(place), _kind(place)) for what, place in places.items()},
        unwritable=sorted({str(place) for place in places.values() if not os.access(place, os.W_OK)}),
        descriptors=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        memory_bytes=_memory_bytes(),
        host_known=_is_known(settings.web_host),
        tables=len(program.tables),
        lags=await _lags(app, log, {name: counts[name] for name in sources if name in counts}),
        letters=sum(span.end - span.start for span in letters.values()),
    )


def _settings(app: App, log: Log) -> Settings:
    conf = app.conf
    refused = ""
    if conf.web_enabled:
        try:
            check_bind(conf.web_bind, app.web_token)
        except ConfigurationError as error:
            refused = error.message
    reached = conf.web_enabled and not is_loopback(conf.web_bind)
    return Settings(
        guarantee=app.guarantee,
        session_timeout_ms=int(conf.broker_session_timeout * 1000),
        heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1000),
        standby_replicas=int(conf.table_standby_replicas),
        instance_id=str(getattr(conf, "consumer_group_instance_id", None) or ""),
        transaction_timeout_ms=GroupOptions(app.conf.id, frozenset()).transaction_timeout_ms,
        web_refused=refused,
        web_host=str(conf.web_host) if reached else "",
        synchronous=log.synchronous if isinstance(log, SqliteLog) else "",
        engine=app.config,
    )


# -- the log ---------------------------------------------------------------------------------------


async def _internal(kept: Upkeep) -> Mapping[str, TopicState]:
    """Return Kafka's own topics; none where they may not be looked at."""
    try:
        return await kept.states(_INTERNAL)
    except ConfigurationError:
        return {}


async def _mispartitioned(app: App, log: Log) -> str:
    topics, _ = await declared_topics(app, log)
    # As they are; those that are not there yet as they would be made.
    topics.counts |= await log.partitions(topics.counts)
    try:
        topics.check_copartitioning()
    except CopartitioningError as error:
        return str(error)
    return ""


async def _lags(app: App, log: Log, counts: Mapping[str, int]) -> list[Lag]:
    sources = [TopicPartition(name, number) for name, count in sorted(counts.items()) for number in range(count)]
    positions = await log.group_positions(str(app.conf.id), sources)
    spans = await log.offsets(sources)
    return [await _lag(app, log, source, positions.get(source), spans[source]) for source in sources]


async def _lag(app: App, log: Log, source: TopicPartition, position: Position | None, span: OffsetRange) -> Lag:
    committed = position.offset if position is not None else None
    first = max(span.start, committed or 0)
    age_s = 0.0
    if first < span.end:
        try:
            batch = await log.read(source, first, bytes_max=1, timeout_s=_READ_S)
        except OffsetOutOfRangeError:  # deleted while we look
            batch = None
        if batch is not None and batch.offsets:
            age_s = max(0.0, (app.clock.time_ms() - batch.log_time_ms(0)) / 1000)
    return Lag(*source, committed, span.start, span.end, age_s)


async def _clock(app: App, log: Log) -> tuple[float | None, str]:
    """Return how far our clock is ahead of the log's, by a record that gets the log's time; or why nobody knows."""
    topic = f"{app.conf.id}-doctor-{uuid4().hex[:8]}"
    source = TopicPartition(topic, 0)
    try:
        await log.declare([TopicSpec(topic, 1, config={"message.timestamp.type": "LogAppendTime"})])
        # The first record waits for what is only there from then on; the second measures.
        await log.append([OutgoingBatch(topic, 0, [None], [b"first"], [0])])
        before_ms = app.clock.time_ms()
        (offset,) = await log.append([OutgoingBatch(topic, 0, [None], [b"second"], [0])])
        after_ms = app.clock.time_ms()
        batch = await log.read(source, offset, bytes_max=1, timeout_s=_PROBE_S)
        if not batch.offsets:
            return None, "the record that was written did not come back"
        return ((before_ms + after_ms) / 2 - batch.log_time_ms(0)) / 1000, ""
    except PeltonError as error:
        return None, error.message
    finally:
        try:
            await log.delete_topics([topic])
        except PeltonError as error:
            app.log.warning("could not delete topic %s again: %s", topic, error.message)


# -- the machine -----------------------------------------------------------------------------------


def _places(app: App, log: Log) -> dict[str, Path]:
    """Return what lies on this machine -> its directory, or the part of its path that there is."""
    places = {"data": Path(app.conf.datadir), "tables": Path(app.conf.tabledir)}
    if isinstance(log, SqliteLog):
        places["log"] = log.path.parent
    return {
        what: next(one for one in (place.absolute(), *place.absolute().parents) if one.exists())
        for what, place in places.items()
    }


def _disks(places: Mapping[str, Path]) -> list[Disk]:
    """Return the disks under these directories, each once."""
    by_device: dict[int, tuple[list[str], Path]] = {}
    for what, place in places.items():
        by_device.setdefault(place.stat().st_dev, ([], place))[0].append(what)
    usages = [(names, place, shutil.disk_usage(place)) for names, place in by_device.values()]
    return [Disk(f"{', '.join(names)} ({place})", usage.total, usage.free) for names, place, usage in usages]


def _kind(place: Path) -> str:
    """Return the type of the file system that a directory is on; "" where the system does not tell."""
    return next((kind for mount, kind in _file_systems() if place.is_relative_to(mount)), "")


def _file_systems() -> list[tuple[str, str]]:
    """Return (mount point, type), the innermost first; none where the system does not tell."""
    table = Path("/proc/self/mounts")
    if not table.exists():
        return []
    rows = [line.split() for line in table.read_text().splitlines()]
    return sorted(((row[1], row[2]) for row in rows if len(row) > 2), key=lambda one: -len(one[0]))


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0


def _is_known(host: str) -> bool:
    if not host:
        return True
    try:
        socket.getaddrinfo(host, None)
    except OSError:
        return False
    return True
