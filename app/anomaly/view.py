"""What the page of anomalies shows: the latest judgements of the log, and how right people find them."""

from __future__ import annotations

from collections.abc import Iterable
from heapq import nlargest
from typing import Any

import msgspec

from app.bank import judgements, model
from app.everywhere import rows_of, value_of
from app.logbook import entries
from app.models import Judgement, Judgements, VerdictCounts
from app.tables.anomalies import judgements_of, verdict_counts

__all__ = ["anomalies_view"]

#: Judgements of each partition that are read, and how many of them are shown: alerts, and others.
READ = 100
ALERTS_SHOWN = 30
OTHERS_SHOWN = 15


async def anomalies_view() -> dict[str, Any]:
    """Return alerts and others, latest first, and the counts. Raises: UnavailableError."""
    topic = judgements.get_topic_name()
    found = [msgspec.json.decode(entry.value, type=Judgement) async for entry in entries(topic, last=READ)]
    alerts = [one for one in found if one.anomalous]
    others = [one for one in found if not one.anomalous]
    return {
        "model": model.name if model.enabled else "",
        "judgements_per_minute": model.settings.judgements_per_minute,
        "alerts": [await _shown(one) for one in _latest(alerts, ALERTS_SHOWN)],
        "others": [await _shown(one) for one in _latest(others, OTHERS_SHOWN)],
        "counts": await _counts(),
    }


def _latest(some: Iterable[Judgement], limit: int) -> list[Judgement]:
    return nlargest(limit, some, key=lambda one: one.ts)


async def _shown(judgement: Judgement) -> dict[str, Any]:
    known: Judgements = await value_of(judgements_of, judgement.key, Judgements())
    return {**msgspec.to_builtins(judgement), "said": known.said.get(judgement.id)}


async def _counts() -> list[dict[str, Any]]:
    """Return the counts of each source, of what was selected and of the sample, by who judged."""
    summed: dict[str, VerdictCounts] = {}
    for row, counts in await rows_of(verdict_counts):
        summed[row] = counts.merged(summed.get(row, VerdictCounts()))
    return [
        {
            **dict(zip(("source", "choice", "by"), row.split("/", 2), strict=True)),
            **msgspec.to_builtins(counts),
            "precision": counts.precision,
            "missed": counts.missed,
        }
        for row, counts in sorted(summed.items())
    ]
