"""Clicks that come twice, at times that a field holds, counted in windows that close although nothing more comes."""

import os

import msgspec

import pelton
from pelton.aggregate import Count

#: What the names of its topics begin with, so that several can be on one Kafka.
RUN = os.environ.get("CLICKS_RUN", "clicks")


class Click(msgspec.Struct):
    id: int
    at: float


app = pelton.App(RUN, topic_partitions=2)
clicks = app.topic(f"{RUN}-clicks", key_type=str, value_type=Click, timestamp=Click.at, max_future=86_400)
stamped = app.topic(f"{RUN}-stamped", key_type=str, value_type=Click, timestamp="log")
again = app.topic(f"{RUN}-again", key_type=str, value_type=Click, retention=-1)
per_page = app.Table("per_page", default=int, key_type=str).tumbling(0.5)
halves = []
now = []
times = []


@app.agent(clicks)
async def count(stream):
    once = stream.dedupe(Click.id, within=3600, duplicates=again)
    async for half in once.window(pelton.tumbling(0.5), idle=0.2, retention=3600).agg(clicks=Count()).on_close():
        halves.append((half.key, half.start_ms, half["clicks"]))


@app.agent(clicks)
async def total(stream):
    async for result in stream.agg(clicks=Count()):
        per_page[result.key] += 1


@app.agent(clicks)
async def at_once(stream):
    windows = stream.window(pelton.tumbling(0.1), time=pelton.PROCESSING_TIME)
    async for window in windows.agg(clicks=Count()).on_close():
        now.append((window.key, window["clicks"]))


@app.agent(stamped)
async def note(stream):
    async for event in stream.events():
        times.append(event.message.timestamp_ms)
