"""A program to be killed: three agents on one topic, each with another way to lose or double something.

`spending` is event after event, with windows that expire; `totals` gathers with `take` and meets payments that it
cannot bear; `copies` runs several lanes. Started as a real worker, with its name (KILL_APP), the log (BROKER_URL) and
the data directory (APP_DATADIR) in the environment.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from datetime import timedelta

import msgspec

import pelton
from tests.kill.kill_oracle import ALERT_FROM, PARTITIONS, RETENTION_S, UNLUCKY, WINDOW_S, Payment, Warning_

RUN = os.environ.get("KILL_APP", "kill")
WARN_FROM = int(os.environ.get("KILL_ALERT_FROM", ALERT_FROM))
#: The payments are old, what is sent has their timestamps, and retention goes by them.
FOR_EVER = timedelta(days=36_500)


class Spending(msgspec.Struct):
    """What an account spent in one window."""

    count: int = 0
    sum: int = 0


app = pelton.App(RUN, topic_partitions=PARTITIONS)
payments = app.topic(f"{RUN}-payments", key_type=str, value_type=Payment, partitions=PARTITIONS, retention=FOR_EVER)
warnings = app.topic(f"{RUN}-warnings", key_type=str, value_type=Warning_, partitions=PARTITIONS, retention=FOR_EVER)
copied = app.topic(f"{RUN}-copies", key_type=str, value_type=Payment, partitions=PARTITIONS, retention=FOR_EVER)
windows = (
    app.Table("windows", default=Spending, key_type=str, value_type=Spending, partitions=PARTITIONS)
    .tumbling(WINDOW_S, expires=RETENTION_S)
    .relative_to_field(Payment.ts)
)
sums = app.Table("sums", default=int, key_type=str, partitions=PARTITIONS)


@app.agent(payments, sink=[warnings])
async def spending(stream: pelton.Stream[Payment]) -> AsyncIterator[Warning_]:
    """Count and sum each account's window; warn when it has many payments."""
    async for payment in stream:
        window = windows[payment.account].current()
        window.count += 1
        window.sum += payment.amount
        windows[payment.account] = window
        if window.count >= WARN_FROM:
            yield Warning_(payment.id, payment.account, window.count, window.sum)


@app.agent(payments)
async def totals(stream: pelton.Stream[Payment]) -> None:
    """Sum up each account, many payments at a time; an unlucky amount fails the whole lot."""
    async for lot in stream.take(50, within=0.02):
        for payment in lot:
            sums[payment.account] += payment.amount
            if payment.amount == UNLUCKY:
                raise ValueError(f"{payment.id} is unlucky")


@app.agent(payments, concurrency=3)
async def copies(stream: pelton.Stream[Payment]) -> None:
    """Send every payment on, from several lanes at once."""
    async for payment in stream:
        await copied.send(key=payment.account, value=payment)
