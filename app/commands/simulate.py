"""`faust -A app simulate`: send realistic payments with labelled fraud, and resume where the last run stopped.

A record's label travels in its header "fraud", where `evaluate` finds it and the rules never look. The record's own
timestamp is the wall clock, so that the log's retention counts from when the record was sent.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

import msgspec

from app.bank import app, hub_directory, transactions
from app.commands.customers import send_requests
from app.commands.simulate_customers import send_customers
from app.commands.simulate_feedback import send_feedback
from app.commands.simulate_questions import send_questions
from app.commands.simulate_reviews import send_reviews
from app.logbook import entries
from app.simulation import DEFAULT_START, Labelled, Plan, transactions_from
from app.simulation.terminals import TerminalLog
from pelton import AppCommand, option

__all__ = ["resume", "simulate"]

#: Payments sent before their acknowledgements are awaited: never more, so a crash leaves gaps only among the last ones.
CHUNK_MAX = 5_000
#: How often a paced run sends.
CHUNKS_PER_S = 20


class _Identified(msgspec.Struct):
    """As much of a transaction as resuming needs."""

    id: str


@app.command(
    option("--rate", type=float, default=1_000, show_default=True, help="Payments a second; 0 for as fast as it goes."),
    option("--accounts", type=int, default=10_000, show_default=True, help="How many customers."),
    option("--seed", type=int, default=7, show_default=True, help="What the whole stream follows from."),
    option("--count", type=int, default=0, help="Stop after so many payments; 0 for never."),
    option("--requests", type=float, default=10, show_default=True, help="Account commands a second; 0 for none."),
    option("--customers", type=int, default=200, show_default=True, help="How many customers have such accounts."),
    option("--reviews", type=float, default=0, show_default=True, help="Reviews of products a second, beside."),
    option("--questions", type=float, default=0, show_default=True, help="Questions of customers a second, beside."),
    option("--feedback", type=float, default=0, show_default=True, help="People's words on anomalies a second."),
    option("--master-data", type=float, default=0, show_default=True, help="Changes of customers a second, beside."),
    option(
        "--start",
        type=float,
        default=DEFAULT_START,
        show_default=True,
        help="Event time of the first payment, seconds since the epoch.",
    ),
)
async def simulate(
    self: AppCommand,
    *,
    rate: float,
    accounts: int,
    seed: int,
    count: int,
    requests: float,
    customers: int,
    reviews: float,
    questions: float,
    feedback: float,
    master_data: float,
    start: float,
) -> None:
    """Send payments, some of them thieves', and more beside.

    Beside the payments go requests to accounts, and terminals' lines in HUB_DIRECTORY; with a rate of their own also
    reviews, questions, people's feedback and master data. A run goes on where the last one stopped. Pages: /payments,
    /analytics, /ledger; for what is beside, those of its own command (simulate-reviews, …).
    """
    async with asyncio.TaskGroup() as group:
        beside: list[asyncio.Task[Any]] = [group.create_task(send_requests(seed, customers, requests))]
        beside += [group.create_task(send_reviews(reviews, seed))] if reviews else []
        beside += [group.create_task(send_questions(questions, seed))] if questions else []
        plan = Plan(seed=seed, accounts=accounts, start=start)
        beside += [group.create_task(send_feedback(plan, feedback))] if feedback else []
        beside += [group.create_task(send_customers(master_data, customers, seed))] if master_data else []
        await _send_payments(plan, rate, count)
        for task in beside:
            task.cancel()


async def _send_payments(plan: Plan, rate: float, count: int) -> None:
    payments = await resume(plan)
    progress = _Progress(count)
    chunk = min(CHUNK_MAX, max(1, round(rate / CHUNKS_PER_S))) if rate else 1_000
    begin = time.monotonic()
    terminals = TerminalLog(hub_directory / "in")
    while not count or progress.sent < count:
        size = min(chunk, count - progress.sent) if count else chunk
        some = list(islice(payments, size))
        last = await _send(some)
        terminals.write(some)
        progress.add(size, last)
        if rate:
            await asyncio.sleep(max(0.0, begin + progress.sent / rate - time.monotonic()))
    progress.finish()


async def resume(plan: Plan) -> Iterator[Labelled]:
    """Return the payments that the log does not hold yet.

    A run sends at most CHUNK_MAX payments before it waits for them, so whatever lies further back than that is
    complete; the last ones are sent only where they are missing.
    """
    prefix, decode = f"tx-{plan.seed}-", msgspec.json.Decoder(_Identified).decode
    there: set[int] = set()
    async for entry in entries(transactions.get_topic_name(), last=CHUNK_MAX):
        identity = decode(entry.value).id
        if identity.startswith(prefix):
            there.add(int(identity.removeprefix(prefix)))
    first = max(0, max(there, default=-1) + 1 - CHUNK_MAX)
    return (payment for payment in transactions_from(plan, first) if payment.sequence not in there)


async def _send(payments: list[Labelled]) -> Labelled:
    """Send payments and return the last one when all are durable."""
    pending = [
        await transactions.send(
            key=payment.transaction.account,
            value=payment.transaction,
            headers={"fraud": payment.label.encode()} if payment.label else None,
        )
        for payment in payments
    ]
    await asyncio.gather(*pending)
    return payments[-1]


class _Progress:
    """Tells how far a run is: on one line that is rewritten, or now and then when nobody watches."""

    def __init__(self, count: int) -> None:
        self.sent = 0
        self._count = count
        self._begin = self._told = time.monotonic()
        self._line = ""

    def add(self, sent: int, last: Labelled) -> None:
        self.sent += sent
        now = time.monotonic()
        day = time.strftime("%Y-%m-%d %H:%M", time.gmtime(last.transaction.ts))
        of = f" of {self._count:,}" if self._count else ""
        rate = self.sent / max(1e-9, now - self._begin)
        self._line = f"sent {self.sent:,}{of} ({rate:,.0f}/s), up to {last.transaction.id} on {day}"
        if now - self._told >= (1 if sys.stdout.isatty() else 10):
            self._told = now
            self._tell("\r" if sys.stdout.isatty() else "\n")

    def finish(self) -> None:
        self._tell("\n")

    def _tell(self, end: str) -> None:
        print(self._line, end=end, flush=True)
