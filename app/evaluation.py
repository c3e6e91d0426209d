"""How good the rules are: alerts against the simulator's labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, get_args

from app.models import Alert, Rule

__all__ = ["Quality", "quality_by_rule"]


class Quality(NamedTuple):
    """How one rule did.

    right: how many of its alerts point at a thief's payment.
    crimes, found: how many crimes of its kind there were, and how many of them had a payment that it alerted on.
    """

    rule: Rule
    alerts: int
    right: int
    crimes: int
    found: int

    @property
    def precision(self) -> float | None:
        """The share of alerts that are right; None without alerts."""
        return self.right / self.alerts if self.alerts else None

    @property
    def recall(self) -> float | None:
        """The share of crimes that were found; None without crimes."""
        return self.found / self.crimes if self.crimes else None


def quality_by_rule(alerts: Iterable[Alert], labels: Mapping[str, str]) -> list[Quality]:
    """Return how each rule did.

    labels: transaction id -> "<kind>:<episode>", for the thieves' payments only.
    """
    alerts = list(alerts)
    return [_quality(rule, [alert for alert in alerts if alert.rule == rule], labels) for rule in get_args(Rule)]


def _quality(rule: Rule, alerts: list[Alert], labels: Mapping[str, str]) -> Quality:
    pointed_at = [labels[alert.transaction] for alert in alerts if alert.transaction in labels]
    crimes = {label for label in labels.values() if label.startswith(f"{rule}:")}
    return Quality(rule, len(alerts), len(pointed_at), len(crimes), len(crimes.intersection(pointed_at)))
