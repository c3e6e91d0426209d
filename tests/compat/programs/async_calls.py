"""Calls to the outside, many at once, of which the test decides when they come back."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

import msgspec

import pelton


class Answer(msgspec.Struct):
    """What came back for a question."""

    question: str
    length: int


app = pelton.App(os.environ.get("CALLS_APP", "async-calls"), topic_partitions=1)
questions = app.topic(f"{app.conf.id}-questions", key_type=str, value_type=str)
answers = app.topic(f"{app.conf.id}-answers", key_type=str, value_type=Answer)
asked = app.Table("asked", default=int, key_type=str)

#: question -> how often it was asked of the outside.
calls: dict[str, int] = {}
#: Questions that come back only once they are in here; all do when it is None.
released: dict[str, asyncio.Event] = {}
under_way: set[str] = set()


async def ask(question: str) -> Answer:
    """Call the outside."""
    calls[question] = calls.get(question, 0) + 1
    if question == "broken":
        raise ValueError("nobody knows")
    under_way.add(question)
    if question in released:
        await released[question].wait()
    return Answer(question, len(question))


@app.agent(questions, sink=[answers])
async def answer(stream: pelton.Stream[str]) -> AsyncIterator[Answer]:
    """Answer each question under its own key, and count the questions of each key."""
    results = stream.map_async(ask, concurrency=8, order="key", retries=pelton.Backoff(retries=1, first=0.001))
    async for key, result in results.items():
        asked[key] += 1
        yield result
