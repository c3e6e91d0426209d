"""Find fraud in a stream of card payments. Start reading here: this is what a stream processor looks like.

`transactions` is a topic of the log, keyed by account, so one account's payments arrive in order. `minutes`,
`ten_minutes` and `profiles` are tables: they look like dicts, live in RocksDB beside the worker, and are recorded in
the log, so that another worker can take over. For each payment, three things happen together or not at all, whatever
crashes: the tables change, the alerts go out, and the payment counts as read.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from app.bank import alerts, app, transactions
from app.models import Alert, Transaction
from app.rules import examine
from app.tables import minute_of, minutes, profiles, ten_minutes, ten_minutes_before
from pelton import Stream

__all__ = ["fraud"]


@app.agent(transactions, sink=[alerts])
async def fraud(stream: Stream[Transaction]) -> AsyncIterator[Alert]:
    """Judge each payment by the bank's rules, then learn from it."""
    async for tx in stream:
        minutes[tx.account] += tx
        ten_minutes[tx.account] += tx
        profile = profiles[tx.account]

        found = examine(tx, profile, minute_of(tx.account, tx), ten_minutes_before(tx.account, tx))
        for alert in found:
            yield alert

        stolen_far_away = any(alert.rule == "impossible_travel" for alert in found)
        profiles[tx.account] = profile.after(tx, trust_place=not stolen_far_away)
