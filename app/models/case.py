"""What a person looks into: all that looks like one crime against one account; and the cases of an account."""

from __future__ import annotations

import msgspec

from app.models.alert import Alert, Rule

__all__ = ["CASES_MAX", "CASE_GAP_S", "CASE_KEPT_S", "AccountCases", "Case"]

#: Alerts of an account that are no further apart, in event time, are one case. No crime that we know of takes longer.
CASE_GAP_S = 1_800.0
#: Cases of an account that are known: as many, and those of so long before its latest alert, in event time.
CASES_MAX = 20
CASE_KEPT_S = 7 * 86_400.0
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


class AccountCases(msgspec.Struct, frozen=True):
    """The cases of one account, by when they were opened, within `CASE_KEPT_S` and `CASES_MAX`.

    forgotten: how far those reached that are not kept any more, in event time; None when there were none. What came
    before that is not told apart from what comes again, and opens no case.
    """

    cases: list[Case] = []
    forgotten: float | None = None

    @property
    def latest(self) -> Case | None:
        """The case whose last alert is the latest."""
        return max(self.cases, key=lambda case: case.updated, default=None)

    def after(self, alert: Alert) -> tuple[AccountCases, Case | None]:
        """Return the cases with one more alert, and the one that is news: opened, or joined by another rule.

        An alert that is known changes nothing, however late it comes again, and in whatever order.
        """
        if any(case.knows(alert) for case in self.cases):
            return self, None
        for case in reversed(self.cases):
            if case.takes(alert):
                joined = case.joined_by(alert)
                others = [one for one in self.cases if one is not case]
                return self._keeping([*others, joined]), None if alert.rule in case.rules else joined
        if self.forgotten is not None and alert.ts <= self.forgotten + CASE_GAP_S:
            return self, None
        opened = Case.opened_by(alert)
        return self._keeping([*self.cases, opened]), opened

    def _keeping(self, cases: list[Case]) -> AccountCases:
        """Return what is kept of cases."""
        oldest = max(case.updated for case in cases) - CASE_KEPT_S
        ordered = sorted(cases, key=lambda case: (case.opened, case.id))
        kept = [case for case in ordered if case.updated >= oldest][-CASES_MAX:]
        gone = [case.updated for case in ordered if case not in kept]
        reached = [*gone, *(() if self.forgotten is None else (self.forgotten,))]
        return AccountCases(kept, max(reached, default=None))
