"""Agents that are asked, by pages and by each other, as real workers run them.

It is started with its name (ASKING_APP), the log (BROKER_URL) and a directory (ASKING_DIR) in the environment. While
there is a file `<DIR>/gate`, an event that says so waits; what has begun is told in `<DIR>/begun`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pelton

RUN, DIRECTORY = os.environ["ASKING_APP"], Path(os.environ["ASKING_DIR"])
PARTITIONS = 4

app = pelton.App(RUN, topic_partitions=PARTITIONS)
numbers = app.topic(f"{RUN}-numbers", key_type=str, value_type=dict, partitions=PARTITIONS)
questions = app.topic(f"{RUN}-questions", key_type=str, value_type=dict, partitions=PARTITIONS)
out = app.topic(f"{RUN}-out", key_type=str, value_type=dict, partitions=PARTITIONS)
handled = app.Table(f"{RUN}-handled", default=int, key_type=str, value_type=int)


async def wait_at_the_gate(who: str, request: dict[str, Any]) -> None:
    if request.get("gate"):
        with (DIRECTORY / "begun").open("a") as file:
            file.write(f"{who} {os.getpid()}\n")
        while (DIRECTORY / "gate").exists():  # noqa: ASYNC110 - the other process makes and removes it
            await asyncio.sleep(0.02)


@app.agent(numbers)
async def double(stream: pelton.Stream[dict[str, Any]]) -> AsyncIterator[dict[str, Any]]:
    """Double a number, and say who did it, and how many that key has seen."""
    async for key, request in stream.items():
        await wait_at_the_gate("double", request)
        if request.get("fails"):
            raise ValueError("no such number")
        handled[key] += 1
        yield {"answer": 2 * request["number"], "pid": os.getpid(), "handled": handled[key]}


@app.agent(questions, sink=[out])
async def quadruple(stream: pelton.Stream[dict[str, Any]]) -> AsyncIterator[dict[str, Any]]:
    """Ask another agent, whose partition may be anywhere, twice within an event."""
    async for request in stream:
        once = await double.ask({"number": request["number"]}, key="once", timeout=60)
        await wait_at_the_gate("quadruple", request)
        twice = await double.ask({"number": once["answer"]}, key="twice", timeout=60)
        yield {"answer": twice["answer"], "number": request["number"]}


@app.page("/ask/{key}")
async def ask(view: Any, request: Any, key: str) -> Any:
    """Ask for the double of ?number=, within ?timeout= seconds."""
    query = request.query
    question = {"number": int(query.get("number", 1)), "gate": "gate" in query, "fails": "fails" in query}
    try:
        answer = await double.ask(question, key=key, timeout=float(query.get("timeout", 60)))
    except TimeoutError as error:
        return view.json({"error": str(error)}, status=504)
    except pelton.PeltonError as error:
        return view.json({"error": str(error)}, status=502)
    return view.json(answer)


@app.page("/join/{count}")
async def join(view: Any, request: Any, count: str) -> Any:
    """Ask for many doubles at once; the answers come in the order of the questions."""
    pairs = ((f"key-{number}", {"number": number}) for number in range(int(count)))
    return view.json(await double.kvjoin(pairs, timeout=60))


@app.page("/map/{count}")
async def map_(view: Any, request: Any, count: str) -> Any:
    """Ask for many doubles, a few at a time; the answers come as they come."""
    pairs = ((f"key-{number}", {"number": number}) for number in range(int(count)))
    return view.json([answer async for answer in double.kvmap(pairs, timeout=60, in_flight=7)])


@app.page("/partitions")
async def partitions(view: Any, request: Any) -> Any:
    """Tell which partition numbers run here, and the process."""
    running = app.runtime.partitions.values() if app.runtime is not None else ()
    numbers = sorted(partition.number for partition in running if partition.state == "running")
    return view.json({"pid": os.getpid(), "numbers": numbers})
