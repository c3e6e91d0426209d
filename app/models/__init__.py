"""The nouns of the application, as typed values."""

from app.models.account import TINY_AMOUNT, AccountProfile, AccountWindow, Place, is_tiny_online, place_of
from app.models.alert import (
    Alert,
    AlertHistory,
    AmountEvidence,
    CardTestingEvidence,
    Evidence,
    Rule,
    TravelEvidence,
    VelocityEvidence,
)
from app.models.transaction import Channel, Transaction

__all__ = [
    "TINY_AMOUNT",
    "AccountProfile",
    "AccountWindow",
    "Alert",
    "AlertHistory",
    "AmountEvidence",
    "CardTestingEvidence",
    "Channel",
    "Evidence",
    "Place",
    "Rule",
    "Transaction",
    "TravelEvidence",
    "VelocityEvidence",
    "is_tiny_online",
    "place_of",
]
