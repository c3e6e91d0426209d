"""Applications driven by tests: what goes in comes out, time passes when it is told to, and a crash loses nothing."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

import pelton
from pelton.aggregate import Count
from pelton.errors import ConfigurationError, DecodeError, UnavailableError, UserCodeError
from pelton.testing import Driver

START = 1_704_067_200.0


class Order(msgspec.Struct):
    who: str
    amount: float
    ts: float = 0.0


class Shop:
    """A small application, with a way for tests to hang more on it."""

    def __init__(self, **settings: Any) -> None:
        self.app = app = pelton.App("shop", **{"topic_partitions": 3, **settings})
        self.orders = app.topic("orders", key_type=str, value_type=Order)
        self.totals = app.topic("totals", key_type=str, value_type=float)
        self.sums = sums = app.Table("sums", default=float, key_type=str)

        @app.agent(self.orders, sink=[self.totals])
        async def add(stream: pelton.Stream[Order]) -> Any:
            async for order in stream:
                if order.amount < 0:
                    raise ValueError("negative")
                sums[order.who] += order.amount
                yield sums[order.who]

        self.add = add


@pytest.fixture
def shop() -> Shop:
    return Shop()


def values(driver: Driver, topic: Any) -> list[Any]:
    return [record.value for record in driver.read(topic)]


# In and out


def test_what_goes_in_comes_out(shop: Shop) -> None:
    with Driver(shop.app) as driver:
        sent = driver.send("orders", "ann", Order("ann", 5.0), ts=100)
        assert (sent.topic, sent.offset, sent.timestamp) == ("orders", 0, 100)
        (record,) = driver.read("totals")
        assert (record.key, record.value, record.timestamp, record.partition) == ("ann", 5.0, 100.0, sent.partition)
        assert driver.read("totals") == []
        assert driver.read(shop.totals, again=True) == [record]
        assert dict(driver.table("sums").items()) == {"ann": 5.0}
        assert driver.table(shop.sums)["ann"] == 5.0


async def test_calls_may_be_awaited_within_a_test_that_has_a_loop_of_its_own(shop: Shop) -> None:
    outer = asyncio.get_running_loop()
    async with Driver(shop.app) as driver:
        sent = await driver.send(shop.orders, "ann", Order("ann", 5.0), datetime(2025, 1, 1, tzinfo=UTC))
        assert sent.timestamp == datetime(2025, 1, 1, tzinfo=UTC).timestamp()
        await driver.advance(10)
        await driver.settle()
        assert asyncio.get_running_loop() is outer
        await asyncio.sleep(0)
        assert values(driver, "totals") == [5.0]


def test_records_of_several_partitions_are_read_in_the_order_of_their_writing(shop: Shop) -> None:
    with Driver(shop.app) as driver:
        for number in range(30):
            driver.send(shop.orders, f"k{number}", Order(f"k{number}", float(number)))
        assert len({record.partition for record in driver.read(shop.orders)}) == 3
        assert values(driver, "totals") == [float(number) for number in range(30)]


def test_many_at_once_bytes_tombstones_and_headers(shop: Shop) -> None:
    raw = shop.app.topic("raw", key_type=str, value_type=str, allow_empty=True, partitions=1)
    seen: list[Any] = []

    @shop.app.agent(raw)
    async def look(stream: pelton.Stream[str]) -> None:
        async for event in stream.events():
            seen.append((event.key, event.value, dict(event.headers)))

    with Driver(shop.app) as driver:
        sent = driver.send_many(shop.orders, [("a", Order("a", 1.0)), ("a", Order("a", 2.0), 50.0)])
        assert [one.offset for one in sent] == [0, 1]
        assert [record.timestamp for record in driver.read("totals")] == [START, 50.0]
        driver.send(raw, "k", b'"bytes"', headers={"trace": "1"})
        driver.send(raw, "k", None)
        driver.send(raw, None, "no key", partition=0)
        assert seen == [("k", "bytes", {"trace": b"1"}), ("k", None, {}), (None, "no key", {})]
        assert [record.headers for record in driver.read(raw)] == [{"trace": b"1"}, {}, {}]


def test_a_topic_that_nobody_declared(shop: Shop) -> None:
    with Driver(shop.app) as driver:
        driver.send("elsewhere", "k", {"a": 1})
        assert [record.value for record in driver.read("elsewhere")] == [{"a": 1}]
        assert driver.read("nowhere") == []


def test_what_cannot_be_meant_is_said(shop: Shop) -> None:
    with Driver(shop.app) as driver:
        with pytest.raises(ConfigurationError, match='no table "sum"'):
            driver.table("sum")
        with pytest.raises(ConfigurationError, match="expected a topic"):
            driver.send(5, "k", "v")  # type: ignore[call-overload]
        with pytest.raises(ConfigurationError, match="driven already"):
            Driver(shop.app)
        driver.crash()
        with pytest.raises(UnavailableError, match=r"driver\.start"):
            driver.table("sums")


def test_a_program_that_contradicts_itself_does_not_start(shop: Shop) -> None:
    shop.app.topic("orders", partitions=5)
    shop.app.topic("orders", partitions=6)
    with pytest.raises(ConfigurationError, match="declared with 5 and with 6"), Driver(shop.app):
        pass
    assert shop.app.runtime is None


# Time


def test_time_stands_still_until_it_is_moved(shop: Shop) -> None:
    ticks: list[float] = []

    @shop.app.timer(10)
    async def tick() -> None:
        ticks.append(shop.app.clock.time_ms() / 1000)

    with Driver(shop.app, start=datetime(2025, 1, 1, tzinfo=UTC)) as driver:
        begin = datetime(2025, 1, 1, tzinfo=UTC).timestamp()
        driver.send(shop.orders, "ann", Order("ann", 1.0))
        assert (driver.now, ticks) == (begin, [])
        driver.advance(9.5)
        assert ticks == []
        driver.advance(timedelta(minutes=1))
        assert ticks == [begin + 10 * number for number in range(1, 7)]
        assert driver.now == begin + 69.5


def test_the_engine_alone_costs_nothing_while_time_passes(shop: Shop) -> None:
    """It looks twenty times a second whether there is something to do; an hour is one step all the same."""
    with Driver(shop.app) as driver:
        before = driver.turns
        driver.advance(timedelta(days=30))
        assert driver.turns - before < 50


def test_sleeps_and_take_within(shop: Shop) -> None:
    slow = shop.app.topic("slow", value_type=str, partitions=1)
    taken: list[list[str]] = []

    @shop.app.agent(slow)
    async def gather(stream: pelton.Stream[str]) -> None:
        async for some in stream.take(3, within=30):
            taken.append(some)
            await asyncio.sleep(100)

    with Driver(shop.app) as driver:
        driver.send(slow, value="a")
        driver.advance(10)
        driver.send(slow, value="b")
        driver.advance(19)
        assert taken == []
        driver.advance(1)
        assert taken == [["a", "b"]]
        for value in "cdef":
            driver.send(slow, value=value)
        driver.advance(99)
        assert len(taken) == 1
        driver.advance(1)
        assert taken[1:] == [["c", "d", "e"]]


def test_an_event_that_fails_is_tried_again_and_dead_lettered(shop: Shop) -> None:
    with Driver(shop.app) as driver:
        driver.send(shop.orders, "ann", Order("ann", -1.0))
        driver.send(shop.orders, "ann", b"no JSON")
        failed, garbled = driver.dead_letters()
        assert (failed.kind, failed.attempts, failed.value) == ("agent", 4, b'{"who":"ann","amount":-1.0,"ts":0.0}')
        assert "negative" in failed.error
        assert garbled.value == b"no JSON"
        assert 0 < driver.now - START < 5
        driver.send(shop.orders, "ann", Order("ann", 2.0))
        assert values(driver, "totals") == [2.0]


def test_an_agent_that_never_gets_to_an_event_is_told_of(shop: Shop) -> None:
    @shop.app.agent(shop.totals)
    async def broken(stream: pelton.Stream[float]) -> None:
        raise RuntimeError("at once")

    with pytest.raises(UserCodeError, match="does not come to rest"), Driver(shop.app):
        pass


def test_an_agent_whose_code_asks_for_what_cannot_be_ends_the_worker_and_reaches_the_test(shop: Shop) -> None:
    @shop.app.agent(shop.totals)
    async def paired(stream: pelton.Stream[float]) -> None:
        unbounded: dict[str, Any] = {}
        async for _ in stream.join(shop.orders, **unbounded):
            raise AssertionError

    with pytest.raises(ConfigurationError, match="needs a bound of time"), Driver(shop.app):
        raise AssertionError("it started")


def test_an_error_in_a_timer_ends_the_worker_and_reaches_the_test(shop: Shop) -> None:
    @shop.app.timer(5)
    async def fail() -> None:
        raise ZeroDivisionError("in a timer")

    with Driver(shop.app) as driver:
        with pytest.raises(ZeroDivisionError, match="in a timer"):
            driver.advance(6)
        with pytest.raises(UnavailableError, match="down"):
            driver.settle()


def test_windows_close_by_event_time_and_late_events_are_kept(shop: Shop) -> None:
    late = shop.app.topic("late", key_type=str, value_type=Order)
    counts = shop.app.topic("counts", key_type=str, value_type=int)

    @shop.app.agent(shop.orders, sink=[counts])
    async def window(stream: pelton.Stream[Order]) -> Any:
        windows = stream.window(pelton.tumbling(60), time=lambda order: order.ts, late=late)
        async for result in windows.agg(count=Count()).on_close():
            yield result["count"]

    with Driver(shop.app) as driver:
        for ts in (10.0, 20.0, 70.0, 30.0):
            driver.send(shop.orders, "ann", Order("ann", 1.0, ts))
        assert values(driver, counts) == [2]
        assert [record.value.ts for record in driver.read(late)] == [30.0]
        assert sum(task.late_events for task in driver.statistics().tasks) == 1


# Crashes


@pytest.mark.parametrize("guarantee", ["exactly_once", "at_least_once"])
def test_a_crash_at_any_moment(guarantee: str) -> None:
    """Exactly once, nothing is lost and nothing doubled; at least once, some of these moments double something."""
    shop, turns, doubled = Shop(processing_guarantee=guarantee), 0, 0
    while True:
        with Driver(shop.app) as driver:
            driver.send(shop.orders, "ann", Order("ann", 1.0))
            records = [("ann", Order("ann", 2.0)), ("bob", Order("bob", 4.0)), ("ann", Order("ann", -1.0))]
            driver.send_many(shop.orders, records, settle=False)
            taken = driver.crash(after=turns)
            driver.restart()
            totals = sorted(values(driver, "totals"))
            sums = dict(driver.table(shop.sums).items())
            assert [letter.attempts for letter in driver.dead_letters()][:1] == [4]
        if guarantee == "exactly_once":
            assert (totals, sums) == ([1.0, 3.0, 4.0], {"ann": 3.0, "bob": 4.0})
        assert {1.0, 3.0, 4.0} <= set(totals)
        doubled += totals != [1.0, 3.0, 4.0]
        turns += 1
        if taken < turns - 1:
            break
    assert turns > 10  # it died at quite different moments
    assert (doubled > 0) == (guarantee == "at_least_once")


class Reminders:
    """At least once: an agent that passes over ids that it knows, and sets timers for the others."""

    def __init__(self) -> None:
        self.app = app = pelton.App("reminders", topic_partitions=1, processing_guarantee="at_least_once")
        self.orders = app.topic("orders", key_type=str, value_type=Order)
        self.told = app.topic("told", key_type=str, value_type=str)
        self.seen = seen = app.Table("seen", default=int, key_type=str)

        @app.agent(self.orders, sink=[self.told])
        async def remind(stream: pelton.Stream[Order]) -> Any:
            timers = stream.dedupe(Order.who, within=1000).timers(time=Order.ts)
            async for event in timers:
                if isinstance(event, pelton.FiredTimer):
                    yield f"reminder for {event.key}"
                else:
                    seen[event.who] += 1
                    timers.set("remind", after=5)
                    yield event.who


@pytest.mark.parametrize("before", [2, 3], ids=["timers are set", "and fire"])
def test_at_least_once_a_crash_loses_nothing_of_events_that_operators_pass_over(before: int) -> None:
    """No id is kept, and no timer gone, without what came of its event, wherever in a commit the worker dies.

    before: how many of the orders come before that.
    """
    turns = 0
    while True:
        one = Reminders()
        with Driver(one.app) as driver:
            orders = [Order("ann", 1.0, 1.0), Order("bob", 1.0, 1.0), Order("eve", 1.0, 60.0)]
            for order in orders[:before]:
                driver.send(one.orders, order.who, order, settle=False)
            taken = driver.crash(after=turns)
            driver.restart()
            for order in orders[before:]:
                driver.send(one.orders, order.who, order)
            told = set(values(driver, one.told))
            assert told >= {"ann", "bob", "eve", "reminder for ann", "reminder for bob"}, turns
            assert all(driver.table(one.seen)[order.who] for order in orders), turns
        turns += 1
        if taken < turns - 1:
            break
    assert turns > 10


def test_the_log_and_the_tables_outlive_a_crash_and_what_is_sent_meanwhile_waits(shop: Shop) -> None:
    with Driver(shop.app) as driver:
        driver.send(shop.orders, "ann", Order("ann", 1.0))
        driver.advance(5)
        driver.crash()
        driver.advance(5)
        assert driver.now == START + 10
        driver.send(shop.orders, "ann", Order("ann", 2.0))
        assert values(driver, "totals") == [1.0]
        driver.start()
        assert driver.now == START + 10
        assert values(driver, "totals") == [3.0]
        driver.restart()
        driver.send(shop.orders, "ann", Order("ann", 3.0))
        assert values(driver, "totals") == [6.0]


def test_tables_are_restored_from_their_changelog_when_the_disk_is_lost(shop: Shop) -> None:
    with Driver(shop.app) as driver:
        driver.send(shop.orders, "ann", Order("ann", 1.0))
        driver.crash()
        driver.lose_disk()
        driver.start()
        assert driver.table(shop.sums)["ann"] == 1.0


def test_what_an_agent_does_while_it_is_killed_has_no_effect(shop: Shop) -> None:
    raw = shop.app.topic("raw", value_type=str, partitions=3)

    @shop.app.agent(raw)
    async def hold(stream: pelton.Stream[str]) -> None:
        async for _ in stream:
            try:
                await asyncio.sleep(60)
            finally:
                shop.sums["held"] = 1.0
                await shop.totals.send(key="held", value=1.0)

    with Driver(shop.app) as driver:
        driver.send(raw, value="a", partition=0)
        driver.crash()
        driver.start()
        assert dict(driver.table(shop.sums).items()) == {}
        driver.advance(60)
        assert values(driver, "totals") == [1.0]


# Requests, pages, global tables, channels


def test_requests_are_answered(shop: Shop) -> None:
    @shop.app.agent(shop.app.topic("silent", value_type=str))
    async def silent(stream: pelton.Stream[str]) -> None:
        async for _ in stream:
            pass

    with Driver(shop.app) as driver:
        assert driver.ask(shop.add, Order("ann", 5.0), key="ann") == 5.0
        before = driver.now
        with pytest.raises(UserCodeError, match="negative"):
            driver.ask(shop.add, Order("ann", -5.0), key="ann")
        with pytest.raises(TimeoutError):
            driver.ask(silent, "hello", timeout=30)
        assert before + 30 <= driver.now < before + 40
        with pytest.raises(UserCodeError, match="not done within 20 s"):
            driver.run(silent.ask("hello"), within=20)
        driver.send(shop.orders, "ann", Order("ann", 1.0))  # and the worker goes on
        assert driver.table(shop.sums)["ann"] == 6.0


def test_an_agent_that_asks_another_within_an_event(shop: Shop) -> None:
    names = shop.app.topic("names", key_type=str, value_type=str)
    answers = shop.app.topic("answers", key_type=str, value_type=float)

    @shop.app.agent(names, sink=[answers])
    async def asking(stream: pelton.Stream[str]) -> Any:
        async for name in stream:
            yield await shop.add.ask(Order(name, 5.0), key=name)

    with Driver(shop.app) as driver:
        driver.send(names, "ann", "ann")
        assert values(driver, answers) == [5.0]
        assert driver.now - START < 1


async def test_asking_in_the_tests_own_loop_is_told_of(shop: Shop) -> None:
    with Driver(shop.app), pytest.raises(ConfigurationError, match="the test's own event loop") as caught:
        await shop.add.ask(Order("ann", 1.0))
    assert "driver.ask" in str(caught.value)


def test_pages_answer_behind_their_guard(shop: Shop) -> None:
    @shop.app.page("/total")
    async def total(self: pelton.View, request: pelton.Request) -> pelton.Response:
        return self.json({"total": shop.sums[request.query["who"]]})

    @shop.app.page("/orders")
    class Orders(pelton.View):
        async def post(self, request: pelton.Request, **_: Any) -> pelton.Response:
            order = msgspec.json.decode(await request.read(), type=Order)
            await (await shop.orders.send(key=order.who, value=order))
            return self.json({}, status=202)

    for _ in range(2):
        with Driver(shop.app) as driver:
            assert driver.request("POST", "/orders", json=Order("ann", 5.0)).status == 202
            answer = driver.request("GET", "/total?who=ann")
            assert (answer.status, answer.json()) == (200, {"total": 5.0})
            assert driver.request("GET", "/nowhere").status == 404
            refused = driver.request("POST", "/orders", json={}, headers={"Origin": "http://evil.example"})
            assert refused.status == 403
            driver.restart()
            assert driver.request("GET", "/total?who=ann").json() == {"total": 5.0}


def test_global_tables_channels_and_tasks(shop: Shop) -> None:
    rates = shop.app.GlobalTable("rates", default=float, key_type=str)
    names = shop.app.topic("names", key_type=str, value_type=float)
    inbox = shop.app.channel(value_type=str)
    log: list[str] = []

    @shop.app.agent(names)
    async def rate(stream: pelton.Stream[float]) -> None:
        async for key, value in stream.items():
            rates[key] = value

    @shop.app.agent(inbox)
    async def read(stream: pelton.Stream[str]) -> None:
        async for text in stream:
            log.append(text)

    @shop.app.task
    async def begin() -> None:
        await inbox.put("begun")

    with Driver(shop.app) as driver:
        assert log == ["begun"]
        driver.send(names, "EUR", 1.5)
        driver.send(inbox, value="hello")
        assert log == ["begun", "hello"]
        assert driver.table("rates")["EUR"] == 1.5
        driver.restart()
        assert driver.table("rates")["EUR"] == 1.5


def test_threads_are_waited_for(shop: Shop) -> None:
    raw = shop.app.topic("raw", key_type=str, value_type=float, partitions=3)
    threads: list[str] = []

    @shop.app.agent(raw)
    async def work(stream: pelton.Stream[float]) -> None:
        with ThreadPoolExecutor(1) as pool:
            async for value in stream:
                await asyncio.to_thread(threads.append, threading.current_thread().name)
                outside = await asyncio.get_running_loop().run_in_executor(pool, threading.get_ident)
                shop.sums["other thread"] = value if outside != threading.get_ident() else -1.0

    with Driver(shop.app) as driver:
        driver.send(raw, "other thread", 7.0)
        assert driver.table(shop.sums)["other thread"] == 7.0
        assert threads == [threading.current_thread().name]


# Traces


def test_two_drivers_one_after_the_other_know_nothing_of_each_other(shop: Shop) -> None:
    before = dict(vars(shop.app))
    for _ in range(2):
        with Driver(shop.app) as driver:
            driver.send(shop.orders, "ann", Order("ann", 5.0))
            driver.send("undeclared", "k", "v")
            assert driver.ask(shop.add, Order("ann", 1.0), key="ann") == 6.0
            assert values(driver, "totals") == [5.0, 6.0]
            assert len(driver.read("orders")) == 2
    assert vars(shop.app) == before
    assert not shop.app.started


def test_a_driver_that_is_left_by_an_error_leaves_no_trace(shop: Shop) -> None:
    before = dict(vars(shop.app))
    with pytest.raises(ZeroDivisionError), Driver(shop.app):
        raise ZeroDivisionError
    assert vars(shop.app) == before


async def test_no_file_is_made(shop: Shop, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Driver(shop.app) as driver:
        driver.send(shop.orders, "ann", Order("ann", 5.0))
        driver.restart()
    assert list(tmp_path.iterdir()) == []


# Cost


def test_a_thousand_events_cost_a_thousand_times_what_one_costs_and_that_is_little(shop: Shop) -> None:
    with Driver(shop.app) as driver:
        driver.send(shop.orders, "ann", Order("ann", 1.0))
        before = driver.turns
        for _ in range(1_000):
            driver.send(shop.orders, "ann", Order("ann", 1.0))
        one_by_one = driver.turns - before
        driver.send_many(shop.orders, [("ann", Order("ann", 1.0))] * 1_000)
        together = driver.turns - before - one_by_one
    assert one_by_one <= 15 * 1_000  # a turn of the loop takes some 20 microseconds
    assert together <= 100


def test_a_replayed_event_is_as_far_ahead_of_its_record_as_it_was() -> None:
    app = pelton.App("backfill", topic_partitions=1)
    orders = app.topic("orders", key_type=str, value_type=Order, timestamp=Order.ts, max_future=60)
    done: list[float] = []
    broken = True

    @app.agent(orders, retries=0)
    async def book(stream: pelton.Stream[Order]) -> None:
        async for event in stream.events():
            if broken:
                raise ValueError("not yet")
            done.append(event.message.timestamp)

    with Driver(app) as driver:
        driver.send(orders, "ann", Order("ann", 5.0, ts=1_050.0), ts=1_000.0)  # as far ahead as it may be
        driver.send(orders, "bob", Order("bob", 5.0, ts=10.0), ts=1_000.0)  # filled in later
        letters = driver.dead_letters()
        assert [letter.timestamp_ms for letter in letters] == [1_000_000, 1_000_000]
        broken = False
        for letter in letters:
            driver.send(orders, letter.key, letter.value, ts=letter.timestamp_ms / 1000)
        assert done == [1_050.0, 10.0]
        assert len(driver.dead_letters()) == 2


def test_an_answer_is_read_as_the_type_that_is_asked_for() -> None:
    app = pelton.App("quotes", topic_partitions=1)

    @app.agent(app.topic("wanted", key_type=str, value_type=Order))
    async def quote(stream: pelton.Stream[Order]) -> Any:
        async for order in stream:
            yield Order(order.who, order.amount * 2)

    with Driver(app) as driver:
        assert driver.run(quote.ask(Order("ann", 5.0), key="ann")) == {"who": "ann", "amount": 10.0, "ts": 0.0}
        typed = driver.run(quote.ask(Order("ann", 5.0), key="ann", answer_type=Order))
        assert typed == Order("ann", 10.0)
        with pytest.raises(DecodeError, match=r"could not read the answer of agent .*quote as int"):
            driver.run(quote.ask(Order("ann", 5.0), key="ann", answer_type=int))


# Several applications


class Take(msgspec.Struct, tag=True):
    amount: int


class Taken(msgspec.Struct, tag=True):
    amount: int


class Purse(msgspec.Struct):
    left: int = 10


class Bank:
    """An application with entities, and one that asks them with each of its events."""

    def __init__(self) -> None:
        self.app = pelton.App("bank", topic_partitions=2)
        self.purses: Any = self.app.entity("purses", state=Purse, commands=Take, events=Taken)
        self.purses.decide(self.decide)
        self.purses.apply(self.apply)
        self.shop = pelton.App("shop", topic_partitions=2)
        purses = self.shop.entity_client("purses", of="bank", commands=Take)
        self.sales = self.shop.topic("sales", key_type=str, value_type=int)
        self.outcomes = self.shop.topic("outcomes", key_type=str, value_type=str)

        @self.shop.agent(self.sales, sink=[self.outcomes])
        async def sell(stream: pelton.Stream[int]) -> Any:
            async for buyer, amount in stream.items():
                try:
                    done = await purses.execute(buyer, Take(amount), command_id=f"{buyer}:{amount}")
                    yield f"version {done.version}"
                except pelton.CommandRejectedError as error:
                    yield error.message

    @staticmethod
    def decide(purse: Purse, command: Take) -> Taken:
        if command.amount > purse.left:
            raise pelton.CommandRejectedError("not enough")
        return Taken(command.amount)

    @staticmethod
    def apply(purse: Purse, event: Taken) -> Purse:
        purse.left -= event.amount
        return purse


def test_applications_on_one_log_ask_each_other_and_one_may_be_down() -> None:
    bank = Bank()
    with Driver(bank.shop, bank.app) as driver:
        driver.send_many(bank.sales, [("ann", 7), ("ann", 4), ("bob", 10)])
        assert sorted(values(driver, bank.outcomes)) == ["not enough", "version 1", "version 1"]
        driver.stop(bank.app)
        driver.send(bank.sales, "ann", 3)
        assert values(driver, bank.outcomes) == []
        driver.start(bank.app)
        driver.settle()
        assert values(driver, bank.outcomes) == ["version 2"]
        assert bank.purses.state("ann") == Purse(0)
        with pytest.raises(ConfigurationError, match="none of the driven ones"):
            driver.stop(pelton.App("another"))
    assert not bank.app.started
    with pytest.raises(ConfigurationError, match="is being driven already"), Driver(bank.app):
        Driver(bank.shop, bank.app)
    with Driver(bank.shop, bank.app) as driver:  # the one that failed left both as they were
        driver.send(bank.sales, "ann", 1)
        assert values(driver, bank.outcomes) == ["version 1"]


def test_what_is_asked_again_after_a_crash_is_done_once_wherever_both_die() -> None:
    turns, taken = 0, 0
    while taken == turns:
        turns += 1
        bank = Bank()
        with Driver(bank.shop, bank.app) as driver:
            driver.send_many(bank.sales, [("ann", 7), ("ann", 3)], settle=False)
            taken = driver.crash(after=turns)
            driver.start()
            driver.settle()
            assert values(driver, bank.outcomes) == ["version 1", "version 2"]
            assert bank.purses.state("ann") == Purse(0)
    assert turns > 10
