"""The cases of each account, and how right the alerts are."""

from __future__ import annotations

from app.bank import app
from app.models.case import AccountCases
from app.models.quality import Judged, RuleQuality

__all__ = ["account_cases", "judged", "rule_quality"]

account_cases = app.Table(
    "account_cases",
    default=AccountCases,
    key_type=str,
    value_type=AccountCases,
    partitions=4,
    help="The account's cases of the last week, 20 at most.",
)

judged = app.Table(
    "judged",
    default=Judged,
    key_type=str,
    value_type=Judged,
    partitions=4,
    help="The account's latest labels and alerts, to be compared.",
)

rule_quality = app.Table(
    "rule_quality",
    default=RuleQuality,
    key_type=str,
    value_type=RuleQuality,
    partitions=4,
    help="How right a rule was, in this partition.",
)
