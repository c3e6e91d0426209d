"""What the bank's switch sends us: one card payment.

The constraints are part of the type, so the same definition guards the topic (a record that breaks one is
dead-lettered) and `POST /transactions` (answered with 400 and the field's name).
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

__all__ = ["Channel", "Transaction"]

#: How the card was used. All but "online" mean that the card was there, so its place is known.
Channel = Literal["chip", "contactless", "atm", "online"]

Name = Annotated[str, Meta(min_length=1, max_length=64)]


class Transaction(msgspec.Struct, frozen=True):
    """One card payment or cash withdrawal.

    id: chosen by the sender, unique.
    amount: in units of the currency, two decimals.
    mcc: the merchant's category code (ISO 18245), four digits.
    country: where the merchant is (ISO 3166, two letters).
    lat, lon: where the card was, in degrees; None when it was not there (online).
    ts: when it happened, seconds since the epoch; every window is cut by it.
    """

    id: Name
    account: Name
    card: Name
    amount: Annotated[float, Meta(gt=0, le=1e9)]
    merchant: Name
    country: Annotated[str, Meta(pattern="^[A-Z]{2}$")]
    channel: Channel
    ts: Annotated[float, Meta(ge=0, lt=4_102_444_800)]
    currency: Annotated[str, Meta(pattern="^[A-Z]{3}$")] = "EUR"
    mcc: Annotated[str, Meta(pattern="^[0-9]{4}$")] = "5999"
    lat: Annotated[float, Meta(ge=-90, le=90)] | None = None
    lon: Annotated[float, Meta(ge=-180, le=180)] | None = None
