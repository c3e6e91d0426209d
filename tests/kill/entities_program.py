"""The program of entities that is killed: counters that are the sum of their events, and a read model of them."""

import os
from datetime import timedelta

import msgspec

import pelton

RUN = os.environ["KILL_APP"]
#: Which version of the read model it has; another one is worked out anew.
MODEL = int(os.environ.get("KILL_MODEL", "1"))
SNAPSHOT_EVERY = 3
HISTORY = timedelta(days=1)


class Add(msgspec.Struct, tag=True):
    amounts: list[int]


class Added(msgspec.Struct, tag=True):
    amount: int


class Sum(msgspec.Struct):
    total: int = 0
    count: int = 0


app = pelton.App(RUN, topic_partitions=2)
sums = app.entity("sums", state=Sum, commands=Add, events=Added, snapshot_every=SNAPSHOT_EVERY)
totals = sums.read_model("totals", version=MODEL, default=int, history=HISTORY)


@sums.decide
def decide(state, command):
    if state.total + sum(command.amounts) < 0:
        raise pelton.CommandRejectedError("below zero")
    return [Added(amount) for amount in command.amounts]


@sums.apply
def apply(state, event):
    return Sum(state.total + event.amount, state.count + 1)


@totals.project
async def project(events):
    async for key, event in events.items():
        totals[key] += event.amount * MODEL
