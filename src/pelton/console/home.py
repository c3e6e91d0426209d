"""Home: is it healthy, does it keep up, who does the work, what went wrong, and what the application has to tell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import Any

import msgspec
from aiohttp import web

from pelton.console.answers import answer
from pelton.console.cards import Card
from pelton.console.frame import rendered
from pelton.console.gathering import GATHERING, Colleague, Gathering
from pelton.console.health import judge
from pelton.console.history import LOOK_EVERY_S
from pelton.console.live import send_events
from pelton.console.report import Owned, TopicLag, WorkerReport, report
from pelton.console.surroundings import CONSOLE
from pelton.metrics.burrow import worst

__all__ = ["live", "merged_lags", "own", "page", "state", "state_of"]

_ERRORS_SHOWN = 20
_CARD_LINES_SHOWN = 8


async def page(request: web.Request) -> web.Response:
    """Answer with the page; what is on it comes from `live`."""
    home = request.app[CONSOLE].home
    return rendered(request, "home.html", title="Home", current=home, scripts=["/static/console/home.js"])


async def own(request: web.Request) -> web.Response:
    """Answer with what this worker alone tells; other workers ask for it."""
    return answer(report(request.app[CONSOLE]))


async def state(request: web.Request) -> web.Response:
    """Answer with what the page shows, for programs."""
    return answer(await state_of(request.app[GATHERING]))


async def live(request: web.Request) -> web.StreamResponse:
    """Send the same, again and again."""
    return await send_events(request, lambda: state_of(request.app[GATHERING]))


async def state_of(gathering: Gathering) -> dict[str, Any]:
    """Return what the page shows."""
    console = gathering.console
    workers = await gathering.workers()
    told = [one.report for one in workers if one.report is not None]
    verdict = judge(workers, console.worker.partition_count())
    lags = merged_lags(told)
    return {
        "group": console.worker.app_id,
        "now_ms": console.worker.clock.time_ms(),
        "health": {"level": verdict.level, "reasons": verdict.reasons},
        "rate": sum(one.rate for one in told),
        "throughput": _added([one.throughput for one in told]),
        "trend_s": LOOK_EVERY_S,
        "lag": sum(one.lag for one in lags),
        "lag_s": max((one.lag_s for one in lags), default=0.0),
        "status": worst([one.status for one in lags]),
        "lags": lags,
        "workers": [_worker(one) for one in workers],
        "dead_lettered": sum(one.dead_lettered for one in told),
        "errors": _errors(workers),
        "cards": _cards(told),
    }


def _worker(one: Colleague) -> dict[str, Any]:
    told = one.report
    return {
        "address": one.member.address or one.member.member_id,
        "here": one.here,
        "silent": one.silent,
        "partitions": told.partitions
        if told is not None
        else [Owned(number, "") for number in sorted(one.member.tasks)],
        "standbys": told.standbys if told is not None else dict.fromkeys(sorted(one.member.standbys)),
        "rate": told.rate if told is not None else None,
        "lag": sum(lag.lag for lag in told.lags) if told is not None else None,
        "waiting": told.waiting if told is not None else [],
    }


def merged_lags(told: Iterable[WorkerReport]) -> list[TopicLag]:
    """Return how far all workers together are behind on each topic: those with the worst verdict, then most, first."""
    by_topic: dict[str, list[TopicLag]] = {}
    for one in told:
        for lag in one.lags:
            by_topic.setdefault(lag.topic, []).append(lag)
    merged = [
        TopicLag(
            topic,
            sum(one.partitions for one in parts),
            sum(one.lag for one in parts),
            max(one.lag_s for one in parts),
            worst([one.status for one in parts]),
            min(one.complete for one in parts),
            [int(value) for value in _added([one.trend for one in parts])],
            _most([one.trend_s for one in parts]),
            max(one.gathers_s for one in parts),
        )
        for topic, parts in by_topic.items()
    ]
    return sorted(merged, key=lambda one: (one.status == "OK", -one.lag_s, -one.lag, one.topic))


def _added(trends: Iterable[Sequence[float]]) -> list[float]:
    """Return the sums of several trends, which all end now."""
    backwards = zip_longest(*(reversed(trend) for trend in trends), fillvalue=0.0)
    return [sum(values) for values in backwards][::-1]


def _most(trends: Iterable[Sequence[float]]) -> list[float]:
    """Return the largest of several trends, which all end now."""
    backwards = zip_longest(*(reversed(trend) for trend in trends), fillvalue=0.0)
    return [max(values) for values in backwards][::-1]


def _errors(workers: Sequence[Colleague]) -> list[dict[str, Any]]:
    found = [(error, one.member.address) for one in workers if one.report is not None for error in one.report.errors]
    found.sort(key=lambda one: -one[0].time_ms)
    return [{"worker": worker, **msgspec.to_builtins(error)} for error, worker in found[:_ERRORS_SHOWN]]


def _cards(told: Iterable[WorkerReport]) -> list[Card]:
    """Return the application's cards, each with the latest lines of all workers."""
    merged: dict[str, Card] = {}
    for worker in told:
        for card in worker.cards:
            into = merged.setdefault(card.title, Card(card.title, card.path))
            into.lines += card.lines
            into.error = into.error or card.error
    for one in merged.values():
        one.lines = sorted(one.lines, key=lambda line: -line.ts)[:_CARD_LINES_SHOWN]
    return list(merged.values())
