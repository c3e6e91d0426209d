"""Work for the leader alone, in a program whose workers could never lead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import pelton
from pelton.errors import ConfigurationError
from pelton.testing import Driver


async def report() -> None:
    """Be what only one worker does."""


DECLARED: dict[str, Callable[[pelton.App], Any]] = {
    "task": lambda app: app.task(report, on_leader=True),
    "timer": lambda app: app.timer(60, on_leader=True)(report),
    "crontab": lambda app: app.crontab("* * * * *", on_leader=True)(report),
}


@pytest.mark.parametrize("kind", DECLARED)
def test_a_program_without_an_agent_on_a_topic_cannot_have_leader_only_work(kind: str) -> None:
    app = pelton.App("alone")
    DECLARED[kind](app)

    @app.agent(app.channel())
    async def listen(stream: pelton.Stream[Any]) -> None:
        async for _ in stream:
            pass

    with (
        pytest.raises(ConfigurationError, match=r"(?s)report is for the leader.*hint: declare an agent"),
        Driver(app),
    ):
        pass


@pytest.mark.parametrize("kind", DECLARED)
def test_one_with_an_agent_on_a_topic_starts(kind: str) -> None:
    app = pelton.App("led")
    DECLARED[kind](app)

    @app.agent(app.topic("numbers", value_type=int))
    async def listen(stream: pelton.Stream[int]) -> None:
        async for _ in stream:
            pass

    with Driver(app):
        assert app.is_leader()
