"""The latest case of each account, and how right the alerts are."""

from __future__ import annotations

from app.bank import app
from app.models.case import Case
from app.models.quality import Judged, RuleQuality

__all__ = ["judged", "latest_cases", "rule_quality"]

latest_cases = app.Table(
    "latest_cases", key_type=str, value_type=Case, partitions=4, help="The latest case of the account."
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
