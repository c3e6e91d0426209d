"""What a program declares wrongly is refused where it is declared, or at the start, and says what to do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pelton import App, Stream
from pelton.errors import ConfigurationError
from pelton.shell.channel import ChannelLane
from pelton.shell.program import build_program
from pelton.stream.lane import Lane


@pytest.fixture
def app(tmp_path: Path) -> App:
    return App("declared", datadir=str(tmp_path), broker=f"sqlite:///{tmp_path / 'log.sqlite'}", topic_partitions=2)


async def read(stream: Stream[Any]) -> None:
    async for _ in stream:
        pass


async def takes_nothing() -> None:
    pass


def yields(stream: Stream[Any]) -> Iterator[int]:
    yield 1


@pytest.mark.parametrize(
    ("declare", "says"),
    [
        (lambda app: app.agent(read), "expected a topic or a channel"),
        (lambda app: app.agent(5), "expected a topic or a channel"),
        (lambda app: app.agent()(takes_nothing), "cannot be called with a stream"),
        (lambda app: app.agent()(yields), "is not async"),
        (lambda app: app.agent(concurrency=0)(read), "concurrency: expected a whole number"),
        (lambda app: app.agent(concurrency="2")(read), "concurrency: expected a whole number"),
        (lambda app: app.agent(retries=-1)(read), "retries: expected a number of them, or a Backoff"),
        (lambda app: app.agent(retries=True)(read), "retries: expected a number of them, or a Backoff"),
        (lambda app: app.agent(app.channel(), retries=3)(read), "retries= on a channel"),
        (lambda app: app.agent(sink=["alerts"])(read), "'alerts' is no sink"),
        (lambda app: app.agent(sink="alerts")(read), "'alerts' is no sink"),
        (lambda app: app.agent(sink=[5])(read), "5 is no sink"),
        (lambda app: app.agent(name="same")(app.agent(name="same")(read).fun), "declared twice"),
        (lambda app: app.topic(5), "expected names of topics"),
        (lambda app: app.topic(["a", "b"]), "expected names of topics"),
        (lambda app: app.topic("t", partitions="4"), "partitions: expected a whole number"),
        (lambda app: app.topic("t", replicas=0), "replicas: expected a whole number"),
        (lambda app: app.Table("t", default=0), "default=0 is no function"),
        (lambda app: app.Table("t", partitions=0), "partitions: expected a whole number"),
    ],
)
def test_refused_where_it_is_declared(app: App, declare: Callable[[App], object], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as caught:
        declare(app)
    assert caught.value.hint


class Odd:
    """Nothing that a codec knows."""


@pytest.mark.parametrize(
    "declare",
    [
        lambda app: app.topic("t", value_serializer="jsn"),
        lambda app: app.topic("t", value_type=Odd),
        lambda app: app.Table("t", key_serializer="jsn"),
        lambda app: app.Table("t", default=Odd).tumbling(10),
    ],
)
async def test_what_cannot_be_written_is_refused_at_the_start(app: App, declare: Callable[[App], object]) -> None:
    declare(app)
    with pytest.raises(ConfigurationError, match=r"jsn|Odd") as caught:
        await build_program(app)
    assert caught.value.hint


def test_one_sink_may_stand_alone(app: App) -> None:
    out = app.topic("out")
    assert app.agent(sink=out)(read).sinks == [out]


def test_an_agent_may_be_a_plain_function_that_returns_what_is_awaited(app: App) -> None:
    assert app.agent(name="partial")(partial(read)).concurrency == 1


def test_an_agent_that_is_not_async_says_so_when_it_is_called(app: App) -> None:
    agent = app.agent(app.topic("t"), name="plain")(lambda stream: None)
    with pytest.raises(ConfigurationError, match="not async"):
        agent.run(None, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "send",
    [
        lambda app, agent: app.send(5, value=1),
        lambda app, agent: app.send(app.channel(), value=1, scheme=2),
        lambda app, agent: app.send(app.channel(), value=1, schema=object()),
        lambda app, agent: agent.send(value=1, prtition=1),
        lambda app, agent: agent.send(value=1, schema=object()),
    ],
)
async def test_sending_refuses_what_it_does_not_know(app: App, send: Callable[..., Any]) -> None:
    with pytest.raises((ConfigurationError, TypeError)):
        await send(app, app.agent(app.topic("t"))(read))


async def test_a_topic_that_something_is_sent_to_first_is_made_as_declared(app: App) -> None:
    topic = app.topic("wide", partitions=7, compacting=True)
    await (await topic.send(key="k", value=1))
    await (await app.send("other", key="k", value=1))
    assert await app.log_connection.partitions(["wide", "other"]) == {"wide": 7, "other": 2}
    assert [spec.name for declared in app.declared_topics for spec in declared.specs()] == ["wide"]
    await topic.declare()  # a policy of its own would be a mismatch
    await app.close_log()


def by_country(stream: Stream[Any]) -> Stream[Any]:
    return stream.group_by("country")


async def test_a_stream_may_be_grouped_in_a_function_of_the_program(app: App) -> None:
    @app.agent(app.topic("t", value_type=dict), name="grouper")
    async def grouper(stream: Stream[Any]) -> None:
        async for _ in by_country(stream):
            pass

    program = await build_program(app)
    assert set(program.agents["grouper"].sources) == {"declared-grouper-country-repartition"}


async def test_a_grouping_that_nobody_saw_is_refused(app: App) -> None:
    hidden = {"how": by_country}

    @app.agent(app.topic("t", value_type=dict), name="hiding")
    async def hiding(stream: Stream[Any]) -> None:
        async for _ in hidden["how"](stream):
            pass

    await build_program(app)
    lane = Lane("hiding", 0, 0, [])  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="agent hiding sends its stream through another topic"):
        await hiding.run(object(), lane)  # type: ignore[arg-type, misc]


def test_a_stream_over_a_channel_cannot_be_grouped(app: App) -> None:
    with pytest.raises(ConfigurationError, match="must read a topic"):
        app.stream(app.channel()).group_by("country")


async def test_an_agent_on_a_channel_that_fails_at_once_does_not_spin(app: App) -> None:
    calls = 0

    async def fails(feed: Any, lane: Any) -> None:
        nonlocal calls
        calls += 1
        raise ValueError("at once")

    lane = asyncio.create_task(ChannelLane("failing", app.channel(), fails, lambda *_: None).run())
    for _ in range(1_000):
        await asyncio.sleep(0)
    lane.cancel()
    await asyncio.gather(lane, return_exceptions=True)
    assert 0 < calls < 20
