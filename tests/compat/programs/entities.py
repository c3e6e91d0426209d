"""Accounts that are the sum of their events; a read model of them, and one of another version."""

import os
from datetime import timedelta

import msgspec

import pelton

#: What the names of its topics begin with, so that several can be on one Kafka.
RUN = os.environ.get("ENTITIES_RUN", "entities")
#: Which version of the read model it has, and after how many events it writes a snapshot.
MODEL = int(os.environ.get("ENTITIES_MODEL", "1"))
SNAPSHOTS = int(os.environ.get("ENTITIES_SNAPSHOTS", "3"))


class Deposit(msgspec.Struct, tag=True):
    amount: int


class Withdraw(msgspec.Struct, tag=True):
    amount: int


class Audit(msgspec.Struct, tag=True):
    pass


class Deposited(msgspec.Struct, tag=True):
    amount: int


class Withdrawn(msgspec.Struct, tag=True):
    amount: int
    fee: int = 0


class Account(msgspec.Struct):
    balance: int = 0
    events: int = 0


app = pelton.App(RUN, topic_partitions=2)
accounts = app.entity(
    "accounts",
    state=Account,
    commands=Deposit | Withdraw | Audit,
    events=Deposited | Withdrawn,
    snapshot_every=SNAPSHOTS,
)
balances = accounts.read_model(
    "balances", version=MODEL, default=int, history=timedelta(days=365), partitions=None, value_type=int
)
decided = []


@accounts.decide
def decide(account, command):
    decided.append(command)
    match command:
        case Deposit(amount):
            return Deposited(amount)
        case Withdraw(amount) if amount == 13:
            raise ValueError("unlucky")
        case Withdraw(amount) if amount > account.balance:
            raise pelton.CommandRejectedError(f"insufficient funds: {account.balance} of {amount}")
        case Withdraw(amount) if amount > 100:
            return [Withdrawn(100), Withdrawn(amount - 100, fee=1)]
        case Withdraw(amount):
            return [Withdrawn(amount)]
    return None


@accounts.apply
def apply(account, event):
    account.events += 1
    match event:
        case Deposited(amount):
            account.balance += amount
        case Withdrawn(amount, fee):
            account.balance -= amount + fee
    return account


@balances.project
async def project(events):
    """Keep the balance of each account; version 2 in cents."""
    async for key, event in events.items():
        change = event.amount if isinstance(event, Deposited) else -event.amount - event.fee
        balances[key] += change if MODEL == 1 else 100 * change
