"""Withdrawals from accounts: models with dates, totals in two tables, and a command that makes data."""

from datetime import UTC, datetime

import faust
from faust.cli import option

import pelton


class Withdrawal(faust.Record, isodates=True, serializer="json"):
    account: str
    country: str
    amount: float
    date: datetime = None


app = pelton.App("withdrawals", topic_partitions=2)
withdrawals_topic = app.topic("withdrawals", key_type=str, value_type=Withdrawal)
account_totals = app.Table("account_totals", default=float, key_type=str, value_type=float)
country_totals = (
    app.Table("country_totals", default=float).tumbling(3600, expires=86400).relative_to_field(Withdrawal.date)
)


@app.agent(withdrawals_topic)
async def track_accounts(withdrawals):
    """Add up what leaves each account."""
    async for withdrawal in withdrawals:
        account_totals[withdrawal.account] += withdrawal.amount


@app.agent(withdrawals_topic)
async def track_countries(withdrawals):
    """Add up, hour by hour, what leaves accounts in each country."""
    async for withdrawal in withdrawals.group_by(Withdrawal.country):
        country_totals[withdrawal.country] += withdrawal.amount


@app.command(option("--count", type=int, default=6, help="How many."))
async def produce(self, count: int):
    """Send withdrawals of two accounts, an hour apart."""
    for number in range(count):
        withdrawal = Withdrawal(
            account=f"account-{number % 2}",
            country=("DE", "FR", "IT")[number % 3],
            amount=10.0 + number,
            date=datetime(2026, 3, 1, number // 3, tzinfo=UTC),
        )
        await withdrawals_topic.send(key=withdrawal.account, value=withdrawal)
    self.say(f"sent {count}")
    await self.app.producer.stop()
