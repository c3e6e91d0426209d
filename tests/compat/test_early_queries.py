"""Tables that are asked for before the first worker has made their topics."""

from __future__ import annotations

import asyncio

import pytest

import pelton
from tests.compat.harness import settled, worker


def counting() -> tuple[pelton.App, pelton.Topic[str, int]]:
    """Return an application that counts, and the topic of what it counts."""
    app = pelton.App("early-queries", topic_partitions=2)
    numbers = app.topic("early-numbers", key_type=str, value_type=int, partitions=2)
    counts = app.Table("counts", default=int, key_type=str, partitions=2)

    @app.agent(numbers)
    async def count(stream: pelton.Stream[int]) -> None:
        async for name, number in stream.items():
            counts[name] += number

    return app, numbers


async def asked_until_it_answers(app: pelton.App) -> int:
    while True:
        try:
            return int(await app.query("counts", "a", default=0))
        except pelton.UnavailableError:
            continue  # it says that it may be asked again


async def test_who_asks_too_early_may_ask_again(each_log: str) -> None:
    app, numbers = counting()
    await app.open_log()
    with pytest.raises(pelton.PartitionsUnavailableError, match="does not exist yet"):
        await app.query("counts", "a")
    answer = asyncio.create_task(asked_until_it_answers(app))
    async with worker(app):
        assert await answer == 0
        await numbers.send(key="a", value=3)
        await settled(app, 1)
        assert await app.query("counts", "a") == 3
