"""What is read off a program before it runs: the tables of its agents, and contradictions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from pelton import App, Stream
from pelton.errors import ConfigurationError
from pelton.shell.program import build_program


class Deposited(msgspec.Struct):
    amount: int


@pytest.fixture
def app(tmp_path: Path) -> App:
    return App("program", datadir=str(tmp_path), topic_partitions=2)


async def test_tables_are_found_in_what_an_agent_calls(app: App) -> None:
    direct, indirect = app.Table("direct", default=int), app.Table("indirect", default=int).tumbling(10)
    app.Table("unused", default=int)

    def helper() -> object:
        return indirect["k"]

    @app.agent(app.topic("t"), name="reader")
    async def reader(stream: Stream[Any]) -> None:
        async for value in stream:
            direct[value] = [helper() for _ in range(3)]

    program = await build_program(app)
    assert program.agents["reader"].tables == {"direct", "indirect"}
    assert set(program.tables) == {"direct", "indirect", "unused"}


async def test_what_tells_that_an_event_was_handled_is_written_last(app: App) -> None:
    """Of the operators of a stream, the first is the last: none of the others sees an event that it passes over."""
    kept = app.Table("kept", default=int, history=60)

    @app.agent(app.topic("t"), name="reader")
    async def reader(stream: Stream[Any]) -> None:
        async for value in stream.dedupe(within=60).timers():
            kept[value] = 1

    @app.agent(app.Table("left", key_type=str).join(app.Table("right", key_type=str)), name="joiner")
    async def joiner(changes: Stream[Any]) -> None:
        async for _ in changes.dedupe(within=60):
            pass

    account = app.entity("account", state=int, commands=Deposited, events=Deposited)
    account.decide(lambda _, command: command)
    account.apply(lambda state, event: state + event.amount)
    tables = (await build_program(app)).tables
    ranks = {name: spec.rank for name, spec in tables.items()}
    assert ranks == {
        **{"kept": 1, "left": 1, "right": 1, "account-events": 1},
        **{"kept-history": 2, "account-entities": 2},
        **{"reader-timers": 3, "reader-dedupe": 4, "joiner-dedupe": 3, "joiner-rows": 4},
    }


async def test_grouped_streams_become_steps(app: App) -> None:
    source = app.topic("t", value_type=dict, partitions=4)

    @app.agent(source, name="grouper")
    async def grouper(stream: Stream[Any]) -> None:
        async for _ in stream.filter(bool).group_by("country").group_by("city"):
            pass

    program = await build_program(app)
    by_country, by_city = "program-grouper-country-repartition", "program-grouper-city-repartition"
    reads = {name: set(agent.sources) for name, agent in program.agents.items()}
    assert reads == {
        f"grouper:{by_country}": {"t"},
        f"grouper:{by_city}": {by_country},
        "grouper": {by_city},
    }
    assert program.sources()[by_city].partitions == 4
    # The records of old events would be gone before they are read, and nobody would miss them.
    assert program.sources()[by_country].retention_ms == -1
    assert program.agents["grouper"].sources[by_city].purged
    assert not program.agents[f"grouper:{by_country}"].sources["t"].purged


async def test_agents_on_channels_are_not_the_runtime_s(app: App) -> None:
    @app.agent(app.channel())
    async def local(stream: Stream[Any]) -> None:
        async for _ in stream:
            pass

    assert not (await build_program(app)).agents


async def test_declarations_that_contradict_each_other(app: App) -> None:
    app.topic("t", partitions=2)
    app.topic("t")
    assert (await build_program(app)).outputs["t"].partitions == 2
    app.topic("t", partitions=3)
    with pytest.raises(ConfigurationError, match="2 and with 3 partitions"):
        await build_program(app)
    app.Table("twice")
    with pytest.raises(ConfigurationError, match="declared twice"):
        app.Table("twice")
