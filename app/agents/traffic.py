"""Add payments up by the minute, a batch at a time: a row is read and written once for all of its payments."""

from __future__ import annotations

from collections.abc import Sequence

from app.bank import app, transactions
from app.models import Transaction
from app.models.traffic import Traffic
from app.tables.traffic import MINUTES_KEPT, TENS_KEPT, minute_traffic, ten_minute_traffic
from pelton import Stream, Table

__all__ = ["traffic"]


@app.agent(transactions)
async def traffic(stream: Stream[Transaction]) -> None:
    """Keep the sums of each minute and of each ten minutes, and forget the old ones."""
    async for batch in stream.batches():
        add(minute_traffic, batch.values, 1, MINUTES_KEPT)
        add(ten_minute_traffic, batch.values, 10, TENS_KEPT)


def add(table: Table[int, Traffic], payments: Sequence[Transaction], size: int, kept: int) -> None:
    """Add payments to the rows of a table, each of which stands for so many minutes."""
    spans: dict[int, list[Transaction]] = {}
    for tx in payments:
        minute = int(tx.ts // 60)
        spans.setdefault(minute - minute % size, []).append(tx)
    for start, within in spans.items():
        if start not in table and start % (10 * size) == 0:  # now and then, for it looks at all rows
            for old in [one for one in table if one < start - kept]:
                del table[old]
        sums = table[start]
        sums.add(within)
        table[start] = sums
