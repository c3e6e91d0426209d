"""What we tell the bank: a suspicion, with the evidence that a person needs to judge it."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = [
    "Alert",
    "AlertHistory",
    "AmountEvidence",
    "CardTestingEvidence",
    "Evidence",
    "Rule",
    "TravelEvidence",
    "VelocityEvidence",
]

Rule = Literal["velocity", "amount", "impossible_travel", "card_testing"]


class VelocityEvidence(msgspec.Struct, frozen=True, tag="velocity"):
    """How many payments one minute held, and what they came to."""

    count: int
    total: float
    merchants: list[str]


class AmountEvidence(msgspec.Struct, frozen=True, tag="amount"):
    """A payment against what this account usually pays.

    typical: the geometric mean of the account's payments before this one.
    z: how many standard deviations the payment lies above it, on a logarithmic scale.
    """

    amount: float
    typical: float
    z: float
    payments: int


class TravelEvidence(msgspec.Struct, frozen=True, tag="impossible_travel"):
    """Two uses of the card in person that no traveller can have made.

    previous: the id of the transaction before.
    new_country: whether the account had never paid in this country.
    """

    previous: str
    from_country: str
    to_country: str
    km: float
    minutes: float
    km_per_h: float
    new_country: bool


class CardTestingEvidence(msgspec.Struct, frozen=True, tag="card_testing"):
    """Tiny online payments at many merchants: somebody finds out which stolen card works.

    tests: how many tiny payments the window holds.
    amount: the payment that raised the alert: one more test, or the purchase that they were made for.
    """

    merchants: list[str]
    tests: int
    amount: float


Evidence = VelocityEvidence | AmountEvidence | TravelEvidence | CardTestingEvidence


class Alert(msgspec.Struct, frozen=True):
    """One suspicion about one transaction.

    id: "<rule>:<transaction>", so that a replay raises the same alert, not another one.
    score: how far past the rule's limit; 1.0 has just reached it.
    window_start, window_end: the event time that the evidence covers, in seconds since the epoch.
    ts: event time of the transaction, in seconds since the epoch.
    """

    id: str
    account: str
    rule: Rule
    transaction: str
    score: float
    window_start: float
    window_end: float
    ts: float
    evidence: Evidence


class AlertHistory(msgspec.Struct, frozen=True):
    """The latest alerts of one account, newest first."""

    alerts: list[Alert] = []

    def with_alert(self, alert: Alert, limit: int) -> AlertHistory:
        """Return a history with this alert in front, cut to `limit` alerts."""
        return AlertHistory([alert, *self.alerts[: limit - 1]])
