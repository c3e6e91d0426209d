"""Which records are looked at: the few that statistics find suspicious, and a small sample of all the others.

Pure functions of the record and what was known before it; so a replay finds the same suspects. What they hand on is all
that a model will see: no number of an account or a card is in it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from zlib import crc32

from app.models import (
    DetectorState,
    DeviceAlert,
    LogAlert,
    LogLine,
    LogService,
    Reading,
    Suspect,
    Template,
    Transaction,
)
from app.models.habit import Habit, Usual

__all__ = ["SELECTED_SHARE", "is_sampled", "of_line", "of_payment", "of_reading"]

#: A payment is suspicious when it is more surprising than this share of all before.
SELECTED_SHARE = 0.995
#: Of the others, one in so many is looked at all the same.
PAYMENTS_A_SAMPLE = 4_000
LINES_A_SAMPLE = 400
READINGS_A_SAMPLE = 4_000
#: A metric is told as unusual from so many standard deviations on.
DEVIATIONS_TOLD = 1.5
#: What is unusual for a device is no share of all readings, so it is never certain without a second opinion.
DEVICE_SCORE_MAX = 0.999
TEXT_MAX = 500
FIELDS_MAX = 8


def of_payment(tx: Transaction, habit: Habit, signals: Mapping[str, float], usual: Usual) -> Suspect | None:
    """Return a payment as a suspect, if it is one. habit, usual: before this payment."""
    score = usual.share_below(sum(signals.values()))
    selected = score >= SELECTED_SHARE
    if not selected and not is_sampled(tx.id, PAYMENTS_A_SAMPLE):
        return None
    return Suspect(
        id=f"payment:{tx.id}",
        source="payment",
        key=tx.account,
        ts=tx.ts,
        selected=selected,
        score=round(score, 5),
        signals=dict(signals),
        record={
            "at": _when(tx.ts),
            "amount": tx.amount,
            "currency": tx.currency,
            "merchant": tx.merchant,
            "merchant_kind": tx.mcc,
            "country": tx.country,
            "channel": tx.channel,
        },
        usual={
            "payments": habit.payments,
            "payments_a_day": round(habit.per_day(tx.ts), 1),
            "in_the_last_ten_minutes": habit.within_span(tx.ts),
            "amount": round(habit.profile.typical_amount, 2) if habit.profile.payments else "not known yet",
            "countries": _most(habit.countries),
            "channels": _most(habit.channels),
            "merchant_kinds": _most(habit.kinds),
        },
    )


def of_line(line: LogLine, service: LogService, template: Template, alerts: Sequence[LogAlert]) -> Suspect | None:
    """Return a line of a log as a suspect: the one that raised an alert, or one of the sample.

    service, template: what is known of them, with this line. alerts: those that the line raised.
    """
    name = f"{line.service}:{line.ts:.3f}:{crc32(line.message.encode(errors='replace')):08x}"
    if not alerts and not is_sampled(name, LINES_A_SAMPLE):
        return None
    fields: dict[str, str | float] = {f"field {key}"[:64]: value[:64] for key, value in line.fields.items()}
    return Suspect(
        id=f"log:{name}",
        source="log",
        key=line.service,
        ts=line.ts,
        selected=bool(alerts),
        score=round(max((_unusual(alert, service) for alert in alerts), default=0.0), 5),
        signals={alert.kind: float(alert.count or 1) for alert in alerts},
        record={
            "at": _when(line.ts),
            "service": line.service,
            "level": line.level,
            "message": line.message[:TEXT_MAX],
            **dict(list(fields.items())[:FIELDS_MAX]),
        },
        usual={
            "lines_of_the_service": service.lines,
            "errors_of_the_service": service.errors,
            "kinds_of_message": service.templates,
            "lines_of_this_kind": template.lines,
            "of_this_kind_in_this_minute": template.in_minute,
            "of_this_kind_in_a_usual_minute": round(template.usual, 2),
        },
    )


def of_reading(reading: Reading, known: DetectorState, score: float, alerts: Sequence[DeviceAlert]) -> Suspect | None:
    """Return a device's reading as a suspect: one that raised an alert, or one of the sample.

    known: what its detector knows, with this reading. score: how unusual the detector found it, 0 to 1.
    """
    name = f"{reading.device}:{reading.ts:.3f}"
    if not alerts and not is_sampled(name, READINGS_A_SAMPLE):
        return None
    means = dict(zip(known.metrics, known.means, strict=True))
    spreads = {
        metric: math.sqrt(squares / known.readings) if known.readings else 0.0
        for metric, squares in zip(known.metrics, known.squares, strict=True)
    }
    deviations = {
        metric: abs(value - means[metric]) / spreads[metric]
        for metric, value in reading.values.items()
        if spreads.get(metric)
    }
    drifting = [metric for alert in alerts if alert.kind == "drift" for metric in alert.metrics]
    return Suspect(
        id=f"device:{name}",
        source="device",
        key=reading.device,
        ts=reading.ts,
        selected=bool(alerts),
        score=round(min(score, DEVICE_SCORE_MAX), 5),
        signals={metric: round(by, 2) for metric, by in deviations.items() if by >= DEVIATIONS_TOLD},
        record={"at": _when(reading.ts), "device": reading.device, **_figures(reading.values)},
        usual={
            "readings": known.readings,
            **{f"mean {metric}": round(mean, 3) for metric, mean in list(means.items())[:FIELDS_MAX]},
            **{f"spread {metric}": round(spread, 3) for metric, spread in list(spreads.items())[:FIELDS_MAX]},
            "has_changed_for_good": ", ".join(drifting) or "nothing",
        },
    )


def _figures(values: Mapping[str, float]) -> dict[str, str | float]:
    return {f"value {metric}": value for metric, value in list(values.items())[:FIELDS_MAX]}


def is_sampled(name: str, one_in: int) -> bool:
    """Return whether a name is of the sample: always the same ones, about one in so many."""
    return crc32(name.encode(errors="replace")) % one_in == 0


def _unusual(alert: LogAlert, service: LogService) -> float:
    """Return how unusual statistics find an alert's line, 0 to 1.

    A burst: how much of it is more than usual. A new kind of message: how seldom the service has said anything new.
    """
    if alert.kind == "burst":
        return 1 - alert.usual / max(alert.count, 1)
    return 1 - min(1.0, service.templates / service.lines)


def _most(counts: Mapping[str, int], shown: int = 5) -> str:
    most = sorted(counts.items(), key=lambda pair: -pair[1])[:shown]
    return ", ".join(f"{name} {count} times" for name, count in most)


def _when(ts: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(ts))
