"""What is to be said of settings that fight each other."""

from __future__ import annotations

from collections.abc import Iterator

from pelton.shell.doctor.findings import Examined, Finding

__all__ = ["judge_settings"]


def judge_settings(examined: Examined) -> Iterator[Finding]:
    """Yield what is to be said."""
    yield from _times(examined)
    yield from _guarantee(examined)
    yield from _workers(examined)
    if examined.settings.web_refused:
        yield Finding("error", "web-open", examined.settings.web_refused, "set PELTON_WEB_TOKEN, or WEB_BIND=127.0.0.1")


def _times(examined: Examined) -> Iterator[Finding]:
    settings, engine = examined.settings, examined.settings.engine
    session, heartbeat = settings.session_timeout_ms, settings.heartbeat_interval_ms
    if heartbeat * 3 > session:
        yield Finding(
            "error" if heartbeat >= session else "warning",
            "heartbeat",
            f"a worker tells of itself every {heartbeat:,} ms, and is taken for dead after {session:,} ms",
            "keep BROKER_HEARTBEAT_INTERVAL at a third of BROKER_SESSION_TIMEOUT, or less: a heartbeat may come late",
        )
    if engine.commit_interval_ms * 2 > session:
        yield Finding(
            "warning",
            "commit-and-session",
            f"work waits up to {engine.commit_interval_ms:,} ms for its commit, and a session is {session:,} ms",
            "a worker that loses its session does all of that again: lower PELTON_COMMIT_INTERVAL_MS",
        )
    if settings.guarantee == "exactly_once" and engine.commit_interval_ms >= settings.transaction_timeout_ms:
        yield Finding(
            "warning",
            "commit-and-transaction",
            f"work waits up to {engine.commit_interval_ms:,} ms for its commit, a transaction may take "
            f"{settings.transaction_timeout_ms:,} ms",
            "so much work may not fit one transaction: lower PELTON_COMMIT_INTERVAL_MS",
        )
    if engine.shutdown_timeout_ms >= session:
        yield Finding(
            "warning",
            "shutdown-and-session",
            f"a worker that stops waits up to {engine.shutdown_timeout_ms:,} ms, a session is {session:,} ms",
            "its supervisor may kill it first, and others wait: lower PELTON_SHUTDOWN_TIMEOUT_MS",
        )
    if 0 < engine.watchdog_exit_ms <= engine.watchdog_warn_ms:
        yield Finding(
            "error",
            "watchdog",
            f"a worker that stands still ends after {engine.watchdog_exit_ms:,} ms, and tells of it after "
            f"{engine.watchdog_warn_ms:,}",
            "raise PELTON_WATCHDOG_EXIT_MS above PELTON_WATCHDOG_WARN_MS, or nobody learns why it ended",
        )
    if settings.instance_id and session < 10_000:
        yield Finding(
            "warning",
            "static-session",
            f"workers keep their place while they restart, for {session:,} ms: a restart takes longer",
            "raise BROKER_SESSION_TIMEOUT to what a restart takes, 30 s for instance, or leave out "
            "CONSUMER_GROUP_INSTANCE_ID",
        )


def _guarantee(examined: Examined) -> Iterator[Finding]:
    settings = examined.settings
    if settings.guarantee == "at_least_once" and examined.tables:
        yield Finding(
            "warning",
            "at-least-once-tables",
            f"the guarantee is at_least_once, and there are {examined.tables} table(s): after a crash, events are "
            "counted in them again",
            "set PROCESSING_GUARANTEE=exactly_once, unless every write to them may be repeated",
        )
    if settings.synchronous == "off":
        yield Finding(
            "warning",
            "not-synchronous",
            "the embedded log is opened with synchronous=off: a power cut may damage it",
            "leave synchronous out of the broker URL, or set it to normal or full",
        )


def _workers(examined: Examined) -> Iterator[Finding]:
    workers, standbys = examined.workers, examined.settings.standby_replicas
    if not workers:
        return
    if workers > examined.numbers > 0:
        yield Finding(
            "warning",
            "idle-workers",
            f"{workers} workers share {examined.numbers} partitions: {workers - examined.numbers} have nothing to do",
            "start fewer, or make topics with more partitions",
        )
    if standbys and standbys >= workers:
        yield Finding(
            "warning",
            "no-place-for-standbys",
            f"{standbys} warm copies of each partition are asked for, and {workers} worker(s) run: they have no place",
            f"start {standbys + 1} workers or more, or lower TABLE_STANDBY_REPLICAS",
        )
