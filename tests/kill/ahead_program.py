"""Calls to the outside, and timers of keys: what tests/kill/test_ahead.py kills."""

import asyncio
import os

import msgspec

import pelton

#: What the names of its topics begin with, so that several can be on one Kafka.
RUN = os.environ.get("AHEAD_RUN", "ahead")


class Ticket(msgspec.Struct):
    """An event. It sets the timer of a name, again so often when that has fired, or cancels it."""

    number: int
    at: float
    name: str
    after_ms: int
    again: int
    cancel: bool


class Answer(msgspec.Struct):
    number: int
    answer: int


class Told(msgspec.Struct):
    text: str


app = pelton.App(RUN, topic_partitions=2)
tickets = app.topic(f"{RUN}-tickets", key_type=str, value_type=Ticket, timestamp=Ticket.at)
answers = app.topic(f"{RUN}-answers", key_type=str, value_type=Answer, retention=-1)
told = app.topic(f"{RUN}-told", key_type=str, value_type=Told, retention=-1)
alarms = app.topic(f"{RUN}-alarms", key_type=str, value_type=Told, retention=-1)


async def call(ticket: Ticket) -> int:
    """Ask the outside, which keeps a list of all that it was ever asked."""
    ledger = os.open(os.environ["AHEAD_LEDGER"], os.O_APPEND | os.O_WRONLY | os.O_CREAT)
    os.write(ledger, b"%d\n" % ticket.number)
    os.close(ledger)
    if str(ticket.number) == os.environ.get("AHEAD_HANGS"):
        await asyncio.Event().wait()  # under way for as long as this worker lives
    await asyncio.sleep(ticket.number * 7 % 5 / 100)  # some take longer: others are done before them
    return ticket.number * 3


@app.agent(tickets, sink=[answers])
async def ask(stream):
    async for ticket, answer in stream.map_async(call, concurrency=8).pairs():
        yield Answer(ticket.number, answer)


@app.agent(tickets)
async def remind(stream):
    timers = stream.timers(time=Ticket.at)
    async for one in timers:
        if not isinstance(one, pelton.FiredTimer):
            await told.send(key=stream.lane.key, value=Told(str(one.number)))
            if one.cancel:
                timers.cancel(one.name)
            else:
                timers.set(one.name, after=one.after_ms / 1000, value=one.again)
            if one.number % 5 == 0:
                timers.set(f"wall-{one.number}", after=0.05, clock="wall", value=one.number)
        elif one.clock == "wall":
            await alarms.send(key=one.key, value=Told(str(one.value)))
        else:
            await told.send(key=one.key, value=Told(f"{one.key} {one.name} {one.at_ms} {one.value}"))
            if one.value:
                timers.set(one.name, after=0.007, value=one.value - 1)
