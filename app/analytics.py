"""What the analytics page shows: the last hour of payments, by event time, against the hour before and yesterday's."""

from __future__ import annotations

from heapq import nlargest
from typing import Any, get_args

from app.everywhere import rows_of
from app.models import Rule
from app.models.quality import sum_of
from app.models.traffic import DIMENSIONS, Sums, Traffic, quantile, whole
from app.tables.cases import account_cases, rule_quality
from app.tables.traffic import minute_traffic, ten_minute_traffic

__all__ = ["case_views", "quality_views", "traffic_view"]

HOUR = 60
DAY = 24 * HOUR
NAMES_SHOWN = 10
SHARES = (0.5, 0.9, 0.99)


async def traffic_view(of: tuple[str, str] | None = None) -> dict[str, Any]:
    """Return the last 60 minutes: each minute, the greatest names of each dimension, customers and percentiles.

    of: a dimension, and one of its names: the minutes tell of the payments there only, everything else of all.

    Yesterday is compared by whole ten minutes: the last six that are complete with the same ones of the day before.
    """
    minutes, tens = await rows_of(minute_traffic), await rows_of(ten_minute_traffic)
    if not minutes:
        return {"minutes": [], "minutes_of": None}
    end = max(at for at, _ in minutes) + 1
    end_of_tens = end - end % 10
    last = _between(minutes, end - HOUR, end)
    now, before = whole(part for _, part in last), _sum(minutes, end - 2 * HOUR, end - HOUR)
    lately = _sum(tens, end_of_tens - HOUR, end_of_tens)
    yesterday = _sum(tens, end_of_tens - HOUR - DAY, end_of_tens - DAY)
    return {
        "from": (end - HOUR) * 60,
        "to": end * 60,
        "minutes": _by_minute(last, end, of),
        "minutes_of": of and {"dimension": of[0], "name": of[1]},
        "count": now.total.count,
        "cents": now.total.cents,
        "customers": now.distinct_customers,
        "percentiles": {f"p{share * 100:g}": quantile(now.amounts, share) for share in SHARES},
        "against_hour_before": _change(now.total, before.total),
        "against_yesterday": _change(lately.total, yesterday.total),
        "top": {name: _top(name, now, before, lately, yesterday) for name in DIMENSIONS},
    }


async def quality_views() -> list[dict[str, Any]]:
    """Return precision and recall of each rule against the simulator's labels."""
    held = await rows_of(rule_quality)
    summed = {rule: sum_of(part for key, part in held if key == rule) for rule in get_args(Rule)}
    return [
        {
            "rule": rule,
            "alerts": one.alerts,
            "right": one.right,
            "precision": one.precision,
            "crimes": one.crimes,
            "found": one.found,
            "recall": one.recall,
        }
        for rule, one in summed.items()
    ]


async def case_views(limit: int) -> list[dict[str, Any]]:
    """Return the latest cases, newest first."""
    known = (case for _, one in await rows_of(account_cases) for case in one.cases)
    newest = nlargest(limit, known, key=lambda case: case.updated)
    return [
        {
            "id": case.id,
            "account": case.account,
            "opened": case.opened,
            "updated": case.updated,
            "score": case.score,
            "rules": case.rules,
            "payments": len(case.transactions),
        }
        for case in newest
    ]


def _by_minute(parts: list[tuple[int, Traffic]], end: int, of: tuple[str, str] | None) -> list[dict[str, int]]:
    sums = {at: Sums() for at in range(end - HOUR, end)}
    for at, part in parts:
        one = part.total if of is None else part.by.get(of[0], {}).get(of[1], Sums())
        sums[at].add(one.count, one.cents)
    return [{"minute": at * 60, "count": one.count, "cents": one.cents} for at, one in sums.items()]


def _top(dimension: str, now: Traffic, before: Traffic, lately: Traffic, yesterday: Traffic) -> list[dict[str, Any]]:
    """Return the names with the greatest value, each against the hour before and the same hour of yesterday."""
    sums, sums_before, sums_lately, sums_yesterday = (
        part.by.get(dimension, {}) for part in (now, before, lately, yesterday)
    )
    return [
        {
            "name": name,
            "count": one.count,
            "cents": one.cents,
            "count_per_minute": round(one.count / HOUR, 2),
            "cents_per_minute": round(one.cents / HOUR),
            "against_hour_before": _change(one, sums_before.get(name)),
            "against_yesterday": _change(sums_lately.get(name, Sums()), sums_yesterday.get(name)),
        }
        for name, one in nlargest(NAMES_SHOWN, sums.items(), key=lambda item: (item[1].cents, item[0]))
    ]


def _between(parts: list[tuple[int, Traffic]], start: int, end: int) -> list[tuple[int, Traffic]]:
    return [(at, part) for at, part in parts if start <= at < end]


def _sum(parts: list[tuple[int, Traffic]], start: int, end: int) -> Traffic:
    return whole(part for _, part in _between(parts, start, end))


def _change(now: Sums, then: Sums | None) -> float | None:
    """Return by which share the value has changed; None where there was none."""
    return round(now.cents / then.cents - 1, 4) if then is not None and then.cents else None
