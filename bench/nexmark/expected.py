"""The right answers, worked out by polars over all events at once: no streams, no partitions, nothing of pelton.

Each function is the query's published SQL (github.com/nexmark/nexmark, and Beam's description for query 6) as an
expression of polars, whose rows are what the query's results must amount to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
import polars as pl
from polars import col

from bench.nexmark.events import Auction, Bid, Person
from bench.nexmark.generator import Event

__all__ = ["EXPECTED", "Frames", "Rows", "frames"]

Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Frames:
    """The events of each kind in the order of the log. closing: when those begin that only end what was open."""

    persons: pl.DataFrame
    auctions: pl.DataFrame
    bids: pl.DataFrame
    closing: datetime

    @property
    def closed_bids(self) -> pl.DataFrame:
        """The bids whose windows are closed: all but the closing ones."""
        return self.bids.filter(col("date_time") < self.closing)

    @property
    def won(self) -> pl.DataFrame:
        """Each auction with its winning bid: the highest while it was open; of equal ones, the earliest."""
        both = self.auctions.select("id", "seller", "category", opened="date_time", closes="expires").join(
            self.bids, left_on="id", right_on="auction"
        )
        valid = both.filter(col("date_time").is_between("opened", "closes"))
        return valid.sort("price", "date_time", "order", descending=[True, False, False]).unique("id", keep="first")


def frames(events: Iterable[Event], closing: datetime) -> Frames:
    """Return the events as frames, with a column `order`."""
    rows: dict[type[Event], Rows] = {Person: [], Auction: [], Bid: []}
    for event in events:
        rows[type(event)].append(msgspec.structs.asdict(event))
    return Frames(
        *(pl.DataFrame(kind, infer_schema_length=None).with_row_index("order") for kind in rows.values()), closing
    )


def _euros() -> pl.Expr:
    return col("price").cast(pl.Decimal(23, 3)) * Decimal("0.908")


def _seconds(size: int) -> pl.Expr:
    """Return the start of the tumbling window of so many seconds."""
    return col("date_time").dt.truncate(f"{size}s")


def _q0(given: Frames) -> pl.DataFrame:
    return given.bids.select("auction", "bidder", "price", "date_time", "extra")


def _q1(given: Frames) -> pl.DataFrame:
    return given.bids.select("auction", "bidder", _euros(), "date_time", "extra")


def _q2(given: Frames) -> pl.DataFrame:
    return given.bids.filter(col("auction") % 123 == 0).select("auction", "price")


def _q3(given: Frames) -> pl.DataFrame:
    chosen = given.auctions.filter(col("category") == 10).select("id", "seller")
    local = given.persons.filter(col("state").is_in(["OR", "ID", "CA"]))
    return chosen.join(local, left_on="seller", right_on="id").select("name", "city", "state", "id")


def _q4(given: Frames) -> pl.DataFrame:
    return given.won.group_by("category").agg(final=col("price").sum() // pl.len())


def _q5(given: Frames) -> pl.DataFrame:
    starts = pl.concat_list([_seconds(2) - pl.duration(seconds=back) for back in range(0, 10, 2)])
    every = given.closed_bids.select("auction", window_start=starts).explode("window_start")
    counts = every.group_by("window_start", "auction").agg(num=pl.len().cast(pl.Int64))
    return counts.filter(col("num") == col("num").max().over("window_start"))


def _q6(given: Frames) -> pl.DataFrame:
    last = given.won.sort("date_time", "id").group_by("seller").tail(10)
    return last.group_by("seller").agg(avg_price=col("price").sum() // pl.len())


def _q7(given: Frames) -> pl.DataFrame:
    return given.bids.filter(col("price") == col("price").max().over(_seconds(10))).drop("order")


def _q8(given: Frames) -> pl.DataFrame:
    new = given.persons.select("id", "name", starttime=_seconds(10))
    sellers = given.auctions.select(id="seller", starttime=_seconds(10)).unique()
    return new.join(sellers, on=["id", "starttime"])


def _q9(given: Frames) -> pl.DataFrame:
    bids = given.won.select("id", bid=pl.struct(col("id").alias("auction"), *_BID))
    return given.auctions.select("id", auction=pl.struct(*_AUCTION)).join(bids, on="id").select("auction", "bid")


def _q10(given: Frames) -> pl.DataFrame:
    time = col("date_time").dt
    return _q0(given).with_columns(dt=time.strftime("%Y-%m-%d"), hm=time.strftime("%H:%M"))


def _q11(given: Frames) -> pl.DataFrame:
    gap = pl.duration(seconds=10)
    bids = given.closed_bids.sort("bidder", "date_time")
    begins = (col("date_time").diff().over("bidder") > gap).fill_null(True)
    sessions = bids.with_columns(session=begins.cum_sum().over("bidder")).group_by("bidder", "session")
    time = col("date_time")
    found = sessions.agg(bid_count=pl.len(), starttime=time.min(), endtime=time.max() + gap)
    return found.drop("session")


def _q12(given: Frames) -> pl.DataFrame:
    return given.bids.group_by("bidder").agg(bid_count=pl.len())


def _q13(given: Frames) -> pl.DataFrame:
    value = pl.format("row {}", col("auction") % 10_000)
    return given.bids.select("auction", "bidder", "price", "date_time", value=value)


def _q14(given: Frames) -> pl.DataFrame:
    hour, letters = col("date_time").dt.hour(), col("extra").str.count_matches("c", literal=True)
    kind = (
        pl.when(hour.is_between(8, 18))
        .then(pl.lit("dayTime"))
        .when((hour <= 6) | (hour >= 20))
        .then(pl.lit("nightTime"))
        .otherwise(pl.lit("otherTime"))
    )
    rows = given.bids.select("auction", "bidder", _euros(), "date_time", "extra", bid_time_type=kind, c_counts=letters)
    return rows.filter((col("price") > 1_000_000) & (col("price") < 50_000_000))


def _level(condition: pl.Expr) -> pl.Expr:
    """Return how many bids, bidders and auctions there are where a condition holds."""
    return pl.struct(
        condition.sum().alias("bids"),
        col("bidder").filter(condition).n_unique().alias("bidders"),
        col("auction").filter(condition).n_unique().alias("auctions"),
    )


def _levels() -> pl.Expr:
    price = col("price")
    return pl.struct(
        _level(price.is_not_null()).alias("total"),
        _level(price < 10_000).alias("rank1"),
        _level((price >= 10_000) & (price < 1_000_000)).alias("rank2"),
        _level(price >= 1_000_000).alias("rank3"),
    )


def _day() -> pl.Expr:
    return col("date_time").dt.strftime("%Y-%m-%d").alias("day")


def _q15(given: Frames) -> pl.DataFrame:
    return given.bids.group_by(_day()).agg(levels=_levels())


def _q16(given: Frames) -> pl.DataFrame:
    minute = col("date_time").dt.strftime("%H:%M").max()
    return given.bids.group_by("channel", _day()).agg(minute=minute, levels=_levels())


def _q17(given: Frames) -> pl.DataFrame:
    price = col("price")
    return given.bids.group_by("auction", _day()).agg(
        total_bids=pl.len(),
        rank1_bids=(price < 10_000).sum(),
        rank2_bids=((price >= 10_000) & (price < 1_000_000)).sum(),
        rank3_bids=(price >= 1_000_000).sum(),
        min_price=price.min(),
        max_price=price.max(),
        avg_price=price.sum() // pl.len(),
        sum_price=price.sum(),
    )


def _q18(given: Frames) -> pl.DataFrame:
    return given.bids.sort("date_time", "order").unique(["bidder", "auction"], keep="last").drop("order")


def _q19(given: Frames) -> pl.DataFrame:
    ordered = given.bids.sort("price", "order", descending=[True, False])
    ranked = ordered.with_columns(rank_number=pl.int_range(1, pl.len() + 1).over("auction"))
    return ranked.filter(col("rank_number") <= 10).select("rank_number", bid=pl.struct("auction", *_BID))


def _q20(given: Frames) -> pl.DataFrame:
    chosen = given.auctions.filter(col("category") == 10).select("id", auction=pl.struct(*_AUCTION))
    return given.bids.select(id="auction", bid=pl.struct("auction", *_BID)).join(chosen, on="id").drop("id")


def _q21(given: Frames) -> pl.DataFrame:
    names = {"apple": "0", "google": "1", "facebook": "2", "baidu": "3"}
    known = col("channel").str.to_lowercase().replace_strict(names, default=None, return_dtype=pl.String)
    told = col("url").str.extract("(&|^)channel_id=([^&]*)", 2)
    rows = given.bids.select("auction", "bidder", "price", "channel", channel_id=pl.coalesce(known, told))
    return rows.filter(col("channel_id").is_not_null())


def _q22(given: Frames) -> pl.DataFrame:
    parts = col("url").str.split("/")
    directories = {f"dir{n}": parts.list.get(n + 2, null_on_oob=True) for n in (1, 2, 3)}
    return given.bids.select("auction", "bidder", "price", "channel", **directories)


_BID = [name for name in Bid.__struct_fields__ if name != "auction"]
_AUCTION = list(Auction.__struct_fields__)

EXPECTED: Mapping[int, Callable[[Frames], pl.DataFrame]] = dict(
    enumerate([_q0, _q1, _q2, _q3, _q4, _q5, _q6, _q7, _q8, _q9, _q10, _q11,
               _q12, _q13, _q14, _q15, _q16, _q17, _q18, _q19, _q20, _q21, _q22])
)  # fmt: skip
