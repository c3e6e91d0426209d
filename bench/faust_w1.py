"""Workload W1 as stock Faust: the same program as `bench.pelton_w1`, tuned as a knowledgeable user would.

Runs in an environment of its own, with faust-streaming and without pelton; started by the harness, which names the run
(W1_RUN), the broker (BROKER_URL) and the data directory (APP_DATADIR). The guarantee is at_least_once: exactly_once
loses and doubles updates under faust-streaming 0.15.3 when a worker is killed.
"""

from __future__ import annotations

import os

import faust

from bench.w1 import ALERT_ABOVE, WINDOW_S

RUN = os.environ.get("W1_RUN", "w1")


class Transaction(faust.Record, serializer="json"):
    """A card transaction; ts is event time in seconds."""

    id: str
    account: str
    amount: float
    currency: str
    merchant: str
    category: str
    country: str
    card: str
    ts: float


class Alert(faust.Record, serializer="json"):
    """A suspicious amount, with the account's count and sum so far in this window."""

    id: str
    account: str
    count: int
    sum: float


app = faust.App(
    RUN,
    store="rocksdb://",
    topic_disable_leader=True,
    topic_replication_factor=1,
    topic_partitions=4,
    table_standby_replicas=0,
    cython_optimizations=True,
    producer_linger=0.005,
    producer_max_batch_size=262_144,
)
transactions = app.topic(f"{RUN}-transactions", key_type=str, value_type=Transaction)
alerts = app.topic(f"{RUN}-alerts", key_type=str, value_type=Alert)
# A plain list as value: no Record to build and encode for each update.
# No `expires`: it goes by the wall clock, and loses counts of old data.
spending = (
    app.Table("spending", default=lambda: [0, 0.0], partitions=4, options={"driver": "rocksdict"})
    .tumbling(WINDOW_S)
    .relative_to_field(Transaction.ts)
)


@app.agent(transactions, sink=[alerts])
async def velocity(stream):  # type: ignore[no-untyped-def]
    """Count and sum each account's window; alert on the amounts over the 99th percentile."""
    async for tx in stream:
        count, total = spending[tx.account].current()
        count, total = count + 1, total + tx.amount
        spending[tx.account] = [count, total]
        if tx.amount > ALERT_ABOVE:
            yield Alert(id=tx.id, account=tx.account, count=count, sum=total)
