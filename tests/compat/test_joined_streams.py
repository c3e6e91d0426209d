"""Joins of streams and tables, in a worker that stops and starts in the middle of them, on both logs with --kafka."""

from __future__ import annotations

from types import ModuleType
from typing import Any
from uuid import uuid4

import pytest

from pelton import App
from pelton.errors import ConfigurationError, CopartitioningError
from pelton.shell.program import build_program
from pelton.stream.stream import Stream
from tests.compat.harness import load, records, settled, until, values, worker


@pytest.fixture
def log(broker_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let the programs of a test work on this log, with names of their own."""
    monkeypatch.setenv("BROKER_URL", broker_url)
    monkeypatch.setenv("JOINED_STREAMS_RUN", f"joined-{uuid4().hex[:8]}")
    return broker_url


async def order(program: ModuleType, number: str, at: float, customer: str = "ann", country: str = "ch") -> None:
    await (
        await program.orders.send(key="shop", value=program.Order(id=number, customer=customer, country=country, at=at))
    )


async def pay(program: ModuleType, number: str, at: float, amount: float = 5.0) -> None:
    await program.payments.send(key="bank", value=program.Payment(order=number, amount=amount, at=at))


@pytest.mark.usefixtures("log")
async def test_joined_streams_go_on_after_a_restart() -> None:
    program = load("joined_streams")
    async with worker(program.app):
        await order(program, "o1", 0.0)
        await order(program, "o2", 1.0)
        await pay(program, "o1", 10.0)
        await until(lambda: program.paid == [("o1", 5.0)])

    again = load("joined_streams")
    async with worker(again.app):
        await pay(again, "o2", 60.0, 7.0)
        await pay(again, "o1", 61.0, 8.0)  # too late for o1
        await until(lambda: again.paid == [("o2", 7.0)])


@pytest.mark.usefixtures("log")
async def test_a_left_event_without_a_partner_goes_on_under_its_own_key_and_time() -> None:
    program = load("joined_streams")
    async with worker(program.app):
        await order(program, "o1", 0.0)
        for number in range(8):  # some of them are in the partition of o1
            await order(program, f"p{number}", 100.0)
            await pay(program, f"p{number}", 100.0)
        assert [one["id"] for one in await values(program.app, str(program.unpaid), 1)] == ["o1"]
        batches = await records(program.app, str(program.unpaid))
        assert [(list(batch.keys), list(batch.timestamps_ms)) for batch in batches] == [([b"o1"], [0])]
        assert len(program.paid) == 8


@pytest.mark.usefixtures("log")
async def test_a_stream_joins_what_tables_hold_now() -> None:
    program = load("joined_streams")
    async with worker(program.app):
        await program.customers.send(key="ann", value="Ann")
        await program.told.send(key="ch", value="Switzerland")
        await settled(program.app, 2)
        await until(lambda: dict(program.countries.items()) == {"ch": "Switzerland"})
        await order(program, "o1", 0.0)
        await order(program, "o2", 0.0, customer="bob", country="at")
        await until(lambda: len(program.addressed) == 3)
        assert sorted(program.addressed, key=str) == [("o1", "Ann"), ("o1", "Switzerland"), ("o2", None)]


@pytest.mark.usefixtures("log")
async def test_a_stream_meets_a_table_and_a_topic_as_they_were_at_the_time_of_its_events() -> None:
    program = load("joined_streams")
    async with worker(program.app):
        for at, number in ((100, 1.1), (200, 1.2), (900, 1.9)):
            await program.rates_told.send(key="eur", value=number, timestamp=at)
        await until(lambda: dict(program.rates.items()) == {"eur": 1.9})
    again = load("joined_streams")
    async with worker(again.app):
        for at in (100, 199, 200, 899, 50):
            await again.trades.send(key="eur", value=float(at), timestamp=at)
        await until(lambda: len(again.converted) == 5 and len(again.quoted) == 4)
    assert again.converted == [(100.0, 1.1), (199.0, 1.1), (200.0, 1.2), (899.0, 1.2), (50.0, None)]
    assert again.quoted == [(100.0, 1.1), (199.0, 1.1), (200.0, 1.2), (899.0, 1.2)]  # the one at 50 is late


@pytest.mark.usefixtures("log")
async def test_tables_are_joined_with_tombstones_over_a_restart() -> None:
    program = load("joined_streams")
    async with worker(program.app):
        await program.customers.send(key="ann", value="Ann")
        await program.moves.send(key="bob", value="Bern")
        await settled(program.app, 3)
    again = load("joined_streams")
    async with worker(again.app):
        await again.moves.send(key="ann", value="Chur")
        assert await values(again.app, str(again.letters), 1) == [["Ann", "Chur"]]
        await again.customers.send(key="ann", value="")
        assert await values(again.app, str(again.letters), 2) == [["Ann", "Chur"], None]


async def test_joined_tables_are_kept_in_as_many_partitions_as_their_topics_have() -> None:
    app = an_app()
    left, right = app.Table("left", key_type=str), app.Table("right", key_type=str)
    source = app.topic("source", key_type=str, partitions=3)

    @app.agent(source)
    async def writing(stream: Any) -> None:
        async for key, value in stream.items():
            left[key] = right[key] = value

    @app.agent(left.join(right), name="joining")
    async def joining(rows: Any) -> None:
        async for _ in rows:
            pass

    async with worker(app):
        kept = await app.log_connection.partitions(["joins-joining-rows-changelog"])
        assert list(kept.values()) == [3]


async def test_tables_of_different_keys_are_not_joined() -> None:
    app = an_app()
    left, right = app.Table("left", key_type=str), app.Table("right", key_type=int)

    @app.agent(left.outer_join(right))
    async def joining(rows: Any) -> None:
        async for _ in rows:
            pass

    with pytest.raises(CopartitioningError, match="different types"):
        await build_program(app)
    with pytest.raises(ConfigurationError, match="another table"):
        left.join(left)
    with pytest.raises(ConfigurationError, match="another table"):
        left.join(app.topic("t"))


def an_app(**settings: Any) -> App:
    return App("joins", **settings)


async def test_topics_of_different_partitions_are_not_joined() -> None:
    app = an_app()
    left, right = app.topic("left", partitions=2), app.topic("right", partitions=3)

    @app.agent(left)
    async def joining(stream: Any) -> None:
        async for _ in stream.join(right, within=5):
            pass

    with pytest.raises(CopartitioningError, match='"left" with 2 partitions and topic "right" with 3'):
        async with worker(app):
            pass


async def test_topics_of_different_keys_are_not_joined() -> None:
    app = an_app()
    left, right = app.topic("left", key_type=str), app.topic("right", key_type=int)

    @app.agent(left)
    async def joining(stream: Any) -> None:
        async for _ in (stream & right).outer_join(within=5):
            pass

    with pytest.raises(CopartitioningError, match=r"keys are str .*keys are int"):
        await build_program(app)


async def test_a_topic_is_not_joined_with_itself() -> None:
    app = an_app()
    left = app.topic("left")

    @app.agent(left)
    async def joining(stream: Any) -> None:
        async for _ in stream.inner_join(left, within=5):
            pass

    with pytest.raises(ConfigurationError, match="with itself"):
        await build_program(app)


async def test_a_table_without_history_has_no_past_to_join() -> None:
    app = an_app()
    table = app.Table("plain", key_type=str)

    @app.agent(app.topic("left", key_type=str))
    async def joining(stream: Any) -> None:
        async for _ in stream.join(table, as_of=True):
            pass

    with pytest.raises(ConfigurationError, match="no history"):
        await joining.fun(Stream[Any](None, None, app.repartition))


async def test_one_agent_joins_once() -> None:
    app = an_app()

    @app.agent(app.topic("left"))
    async def joining(stream: Any) -> None:
        stream.join(app.topic("right"), within=5)
        stream.join(app.topic("third"), within=5, name="other")

    with pytest.raises(ConfigurationError, match="joins twice"):
        await build_program(app)
