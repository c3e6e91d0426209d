"""What a person looks into: all that looks like one crime against one account."""

from __future__ import annotations

import msgspec

from app.models.alert import Alert, Rule

__all__ = ["CASE_GAP_S", "Case"]

#: Alerts of an account that are no further apart, in event time, are one case. No crime that we know of takes longer.
CASE_GAP_S = 1_800.0
#: Names kept in a case, so that a flood of alerts cannot grow it without bound.
NAMES_MAX = 50


class Case(msgspec.Struct, frozen=True):
    """Alerts of one account that belong together.

    id: that of the first alert, so that a replay opens the same case. opened, updated: event time, in seconds.
    rules: how often each rule spoke. transactions: those that it spoke of, the latest 50.
    score: the sum of each rule's highest score: several rules that agree weigh more than one.
    """

    id: str
    account: str
    opened: float
    updated: float
    rules: dict[Rule, int]
    scores: dict[Rule, float]
    transactions: list[str]
    alerts: list[str]

    @property
    def score(self) -> float:
        """How bad it looks; 1.0 is one rule that has just reached its limit."""
        return round(sum(self.scores.values()), 2)

    @classmethod
    def opened_by(cls, alert: Alert) -> Case:
        """Return a new case."""
        rules: dict[Rule, int] = {alert.rule: 1}
        scores: dict[Rule, float] = {alert.rule: alert.score}
        return cls(alert.id, alert.account, alert.ts, alert.ts, rules, scores, [alert.transaction], [alert.id])

    def takes(self, alert: Alert) -> bool:
        """Return whether an alert belongs to this case."""
        return self.opened - CASE_GAP_S <= alert.ts <= self.updated + CASE_GAP_S

    def knows(self, alert: Alert) -> bool:
        """Return whether this very alert is in the case."""
        return alert.id in self.alerts

    def joined_by(self, alert: Alert) -> Case:
        """Return the case with one more alert."""
        transactions = [*(one for one in self.transactions if one != alert.transaction), alert.transaction]
        rules, scores = dict(self.rules), dict(self.scores)
        rules[alert.rule] = rules.get(alert.rule, 0) + 1
        scores[alert.rule] = max(scores.get(alert.rule, 0.0), alert.score)
        return Case(
            self.id,
            self.account,
            min(self.opened, alert.ts),
            max(self.updated, alert.ts),
            rules,
            scores,
            transactions[-NAMES_MAX:],
            [*self.alerts, alert.id][-NAMES_MAX:],
        )
