"""Workload W1 as a pelton program, written as a user would write it; exactly-once by default.

Started by the harness as a real worker, with the run's name (W1_RUN), the log (BROKER_URL) and the data directory
(APP_DATADIR) in the environment.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import msgspec

import pelton
from bench.w1 import ALERT_ABOVE, WINDOW_S

RUN = os.environ.get("W1_RUN", "w1")


class Transaction(msgspec.Struct):
    """What the agent needs of a card transaction; the other fields are skipped. ts is event time in seconds."""

    id: str
    account: str
    amount: float
    ts: float


class Alert(msgspec.Struct):
    """A suspicious amount, with the account's count and sum so far in this window."""

    id: str
    account: str
    count: int
    sum: float


class Spending(msgspec.Struct):
    """What an account spent in one window."""

    count: int = 0
    sum: float = 0.0


app = pelton.App(RUN)
transactions = app.topic(f"{RUN}-transactions", key_type=str, value_type=Transaction, partitions=4)
alerts = app.topic(f"{RUN}-alerts", key_type=str, value_type=Alert, partitions=4)
spending = (
    app.Table("spending", default=Spending, key_type=str, partitions=4)
    .tumbling(WINDOW_S)
    .relative_to_field(Transaction.ts)
)


@app.agent(transactions, sink=[alerts])
async def velocity(stream: pelton.Stream[Transaction]) -> AsyncIterator[Alert]:
    """Count and sum each account's window; alert on the amounts over the 99th percentile."""
    async for tx in stream:
        window = spending[tx.account].current()
        window.count += 1
        window.sum += tx.amount
        spending[tx.account] = window
        if tx.amount > ALERT_ABOVE:
            yield Alert(tx.id, tx.account, window.count, window.sum)
