"""How right alerts are, where the truth is known: the simulator labels what thieves do."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

__all__ = ["Judged", "RuleQuality", "sum_of"]

#: Labels and alerts of one account that are remembered; what belongs together comes within minutes.
KEPT = 64


class RuleQuality(msgspec.Struct, frozen=True):
    """alerts, right: how many a rule raised, and how many of them point at a thief's payment.

    crimes, found: how many crimes of its kind there were, and how many of them it has alerted on.
    """

    alerts: int = 0
    right: int = 0
    crimes: int = 0
    found: int = 0

    def plus(self, *, alerts: int = 0, right: int = 0, crimes: int = 0, found: int = 0) -> RuleQuality:
        """Return the counts with some more."""
        return RuleQuality(self.alerts + alerts, self.right + right, self.crimes + crimes, self.found + found)

    @property
    def precision(self) -> float | None:
        """The share of alerts that are right; None without alerts."""
        return self.right / self.alerts if self.alerts else None

    @property
    def recall(self) -> float | None:
        """The share of crimes that were found; None without crimes."""
        return self.found / self.crimes if self.crimes else None


def sum_of(parts: Iterable[RuleQuality]) -> RuleQuality:
    """Return counts of several partitions as one."""
    found = RuleQuality()
    for one in parts:
        found = found.plus(alerts=one.alerts, right=one.right, crimes=one.crimes, found=one.found)
    return found


class Judged(msgspec.Struct):
    """What is known of one account. labels: transaction -> label; alerted: transaction -> rules; found: labels."""

    labels: dict[str, str] = {}
    alerted: dict[str, list[str]] = {}
    found: list[str] = []

    def label(self, transaction: str, label: str) -> dict[str, RuleQuality]:
        """Take in the truth about a payment; return what it adds to the counts of rules."""
        if transaction in self.labels:
            return {}
        kind = kind_of(label)
        more = {kind: RuleQuality(crimes=int(label not in self.labels.values()))}
        self.labels[transaction] = label
        _cut(self.labels)
        for rule in self.alerted.get(transaction, []):
            more[rule] = more.get(rule, RuleQuality()).plus(right=1, found=self._first(rule, label))
        return more

    def alert(self, transaction: str, rule: str) -> RuleQuality:
        """Take in an alert; return what it adds to the counts of its rule."""
        rules = self.alerted.setdefault(transaction, [])
        if rule in rules:
            return RuleQuality()
        rules.append(rule)
        _cut(self.alerted)
        label = self.labels.get(transaction)
        if label is None:
            return RuleQuality(alerts=1)
        return RuleQuality(alerts=1, right=1, found=self._first(rule, label))

    def _first(self, rule: str, label: str) -> int:
        if kind_of(label) != rule or label in self.found:
            return 0
        self.found = [*self.found, label][-KEPT:]
        return 1


def kind_of(label: str) -> str:
    """Return the kind of crime of a label, "<kind>:<episode>": it bears the name of the rule that should find it."""
    return label.partition(":")[0]


def _cut(names: dict[str, str] | dict[str, list[str]]) -> None:
    while len(names) > KEPT:
        del names[next(iter(names))]
