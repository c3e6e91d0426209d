"""What is to be said of topics: as declared or not, what they keep, and how far the application is."""

from __future__ import annotations

from collections.abc import Iterator

from pelton.shell.doctor.findings import Examined, Finding

__all__ = ["judge_topics"]

_NEAR = 0.5


def judge_topics(examined: Examined) -> Iterator[Finding]:
    """Yield what is to be said."""
    yield from _declared(examined)
    yield from _lost(examined)
    yield from _sizes(examined)
    if examined.letters:
        yield Finding(
            "warning",
            "dead-letters",
            f"{examined.letters:,} dead letter(s) are kept: records that could not be processed",
            "`faust -A … dlq list` says why, `dlq replay` and `dlq discard` settle them",
        )


def _declared(examined: Examined) -> Iterator[Finding]:
    if examined.mispartitioned:
        yield Finding(
            "error",
            "co-partitioning",
            examined.mispartitioned.partition("\n")[0],
            "give both the same number of partitions, or repartition the stream with group_by",
        )
    missing = sorted(change.topic for change in examined.changes if change.setting == "topic")
    if missing:
        yield Finding(
            "note",
            "topics-missing",
            f"topics that are not there yet: {', '.join(missing)}",
            "a worker makes them at its start, and `topics apply` before that",
        )
    for change in examined.changes:
        if change.setting != "topic":
            # A worker does not start on these two.
            fatal = change.setting in ("partitions", "cleanup.policy")
            yield Finding(
                "error" if fatal else "warning",
                "topic-differs",
                f"topic {change.topic} has {change.setting}={change.found or '(none)'}, declared is {change.declared}",
                change.hint or "faust -A app topics apply",
            )


def _lost(examined: Examined) -> Iterator[Finding]:
    """Tell of records that retention deleted unread, or is about to."""
    for lag in examined.lags:
        where = f"{lag.topic}[{lag.partition}]"
        if lag.committed is not None and lag.committed < lag.start:
            yield Finding(
                "error",
                "records-lost",
                f"{where}: {lag.start - lag.committed:,} records were deleted before the application read them",
                "give the topic a longer retention; PELTON_ON_LOST_RECORDS says where workers go on",
            )
            continue
        state = examined.topics.get(lag.topic)
        retention_s = int(state.config["retention.ms"]) / 1000 if state is not None else -1.0
        deletes = state is not None and "delete" in state.config["cleanup.policy"]
        if deletes and retention_s > 0 and lag.age_s >= _NEAR * retention_s:
            late = lag.age_s >= retention_s
            yield Finding(
                "error" if late else "warning",
                "retention-and-lag",
                f"{where}: the next record to read is {lag.age_s:,.0f} s old, and deleted after {retention_s:,.0f} s",
                "give the topic a longer retention (topics apply), then start workers: what is unread is being deleted",
            )


def _sizes(examined: Examined) -> Iterator[Finding]:
    largest = examined.settings.engine.record_bytes_max
    small = {
        name: int(state.config["max.message.bytes"])
        for name, state in sorted(examined.topics.items())
        if int(state.config.get("max.message.bytes", largest)) < largest
    }
    if small:
        yield Finding(
            "note",
            "record-sizes",
            f"PELTON_RECORD_BYTES_MAX is {largest:,}, but of {len(small)} topic(s) a record may have "
            f"{min(small.values()):,} bytes at least: {', '.join(list(small)[:3])}{', …' if len(small) > 3 else ''}",
            "an event that sends more is dead-lettered: raise max.message.bytes (config= of the topic, topics apply) "
            "where records are large",
        )
