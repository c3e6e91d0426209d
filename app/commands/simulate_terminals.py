"""`faust -A app simulate-terminals`: card terminals that tell the hub what they do by webhook or by syslog."""

from __future__ import annotations

import os
from contextlib import AbstractAsyncContextManager

from app.bank import app
from app.commands.pacing import send_paced
from app.simulation import Plan, transactions_from
from app.simulation.terminal_links import Send, by_syslog, by_webhook
from app.simulation.terminals import tried_with
from pelton import AppCommand, option

__all__ = ["simulate_terminals"]


@app.command(
    option("--via", default="webhook", show_default=True, help="webhook or syslog."),
    option("--url", default="http://127.0.0.1:6066", show_default=True, help="The worker that takes webhooks."),
    option("--rate", type=float, default=5, show_default=True, help="Lines a second; 0 for as fast as it goes."),
    option("--seed", type=int, default=7, show_default=True, help="What the lines follow from."),
    option("--count", type=int, default=0, help="Stop after so many; 0 for never."),
)
async def simulate_terminals(self: AppCommand, *, via: str, url: str, rate: float, seed: int, count: int) -> None:
    """Send what card terminals do, to the hub.

    The hub has HUB_WEBHOOK_SECRET or HUB_SYSLOG_PORT set, and this command the same. Page: /hub.
    """
    secret, port = os.environ.get("HUB_WEBHOOK_SECRET", ""), os.environ.get("HUB_SYSLOG_PORT", "")
    link: AbstractAsyncContextManager[Send]
    if via == "webhook" and secret:
        link = by_webhook(url, secret)
    elif via == "syslog" and port:
        link = by_syslog(int(port))
    else:
        raise self.UsageError(
            f"--via: expected webhook with HUB_WEBHOOK_SECRET set, or syslog with HUB_SYSLOG_PORT set, got {via!r}"
        )
    lines = (tried_with(one) for one in transactions_from(Plan(seed=seed, accounts=1_000)))
    async with link as send:
        await send_paced(lines, send, noun="lines", rate=rate, count=count)
