"""What queries 15 and 16 count: bids, different bidders and different auctions, at three levels of price."""

from __future__ import annotations

from typing import Any

import msgspec

import pelton
from bench.nexmark.events import Bid

__all__ = ["Level", "Levels", "Seen"]

#: Which bidders and auctions were counted before: (whose count, "total" or a rank, "bidder" or "auction", id).
Seen = pelton.Table[tuple[str, str, str, int], bool]


class Level(msgspec.Struct):
    """How many bids, different bidders, and different auctions."""

    bids: int = 0
    bidders: int = 0
    auctions: int = 0


class Levels(msgspec.Struct):
    """All bids; those below 100 dollars; those below 10,000; the others."""

    total: Level = msgspec.field(default_factory=Level)
    rank1: Level = msgspec.field(default_factory=Level)
    rank2: Level = msgspec.field(default_factory=Level)
    rank3: Level = msgspec.field(default_factory=Level)

    def add(self, bid: Bid, seen: Seen, group: str) -> None:
        """Count a bid. seen: the table that tells what is new. group: whose figures these are."""
        rank = "rank1" if bid.price < 10_000 else "rank2" if bid.price < 1_000_000 else "rank3"
        for name in ("total", rank):
            level: Level = getattr(self, name)
            level.bids += 1
            level.bidders += _is_new(seen, (group, name, "bidder", bid.bidder))
            level.auctions += _is_new(seen, (group, name, "auction", bid.auction))


def _is_new(seen: Seen, key: Any) -> bool:
    if key in seen:
        return False
    seen[key] = True
    return True
