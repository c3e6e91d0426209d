"""Tables that are asked from anywhere: plain, with history, windowed, global, and with keys that are numbers.

It is started with its name (QUERYING_APP), the log (BROKER_URL) and a directory (QUERYING_DIR) in the environment.
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

import msgspec

import pelton

RUN = os.environ["QUERYING_APP"]
PARTITIONS = 4


class Payment(msgspec.Struct):
    """A payment; at: seconds since the epoch."""

    amount: int
    at: float


class Statement(msgspec.Struct, frozen=True):
    """What is known of an account: of its payments so far, and when the last one was."""

    payments: int = 0
    total: int = 0
    last_at: float = 0.0
    amounts: list[int] = []


app = pelton.App(RUN, topic_partitions=PARTITIONS)
payments = app.topic(f"{RUN}-payments", key_type=str, value_type=Payment, partitions=PARTITIONS)
balances = app.Table("balances", default=int, key_type=str, history=timedelta(days=1), time="at")
statements = app.Table(
    "statements",
    default=Statement,
    key_type=str,
    history=timedelta(days=1),
    time="at",
    help="What an account has paid.",
)
minutes = app.Table("minutes", default=int, key_type=str).tumbling(60).relative_to_field("at")
lengths = app.Table("lengths", default=list, key_type=int)
largest = app.GlobalTable("largest", key_type=str, value_type=Payment)


@app.agent(payments)
async def collect(stream: pelton.Stream[Payment]) -> None:
    """Keep each account's balance, its minutes, and its payment that was largest; one of nothing ends the balance."""
    async for account, payment in stream.items():
        balances[account] += payment.amount
        if payment.amount == 0:
            del balances[account]
        minutes[account] += payment.amount
        known = statements[account]
        amounts = [*known.amounts, payment.amount]
        statements[account] = Statement(len(amounts), known.total + payment.amount, payment.at, amounts)
        lengths[len(account)] = [*lengths[len(account)], account]
        if payment.amount > largest.get(account, Payment(0, 0.0)).amount:
            largest[account] = payment


@app.page("/partitions")
async def partitions(view: Any, request: Any) -> Any:
    """Tell which partition numbers run here, and the process."""
    running = app.runtime.partitions.values() if app.runtime is not None else ()
    numbers = sorted(partition.number for partition in running if partition.state == "running")
    return view.json({"pid": os.getpid(), "numbers": numbers})


@app.page("/query/{table}/{key}")
async def query(view: Any, request: Any, table: str, key: str) -> Any:
    """Ask as a program does."""
    value = await app.query(table, key, default="nothing", standby="standby" in request.query)
    return view.json({"value": value if isinstance(value, int | str) else repr(value)})
