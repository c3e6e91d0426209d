"""What is read off a program before it runs: the tables of its agents, and contradictions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pelton import App, Stream
from pelton.errors import ConfigurationError
from pelton.shell.program import build_program


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
