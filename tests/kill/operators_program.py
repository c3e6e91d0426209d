"""Windows of every kind, joins of streams and of tables, each into a topic: what tests/kill/test_operators.py kills."""

import os

import msgspec

import pelton
from pelton.aggregate import Count, Sum

#: What the names of its topics begin with, so that several can be on one Kafka.
RUN = os.environ.get("OPERATORS_RUN", "operators")


class Trade(msgspec.Struct):
    id: int
    number: int
    at: float


class Closed(msgspec.Struct):
    key: str
    start_ms: int
    count: int
    total: int


class Pair(msgspec.Struct):
    key: str
    trade: int | None
    quote: int | None


app = pelton.App(RUN, topic_partitions=2)
trades = app.topic(f"{RUN}-trades", key_type=str, value_type=Trade, timestamp=Trade.at)
quotes = app.topic(f"{RUN}-quotes", key_type=str, value_type=Trade, timestamp=Trade.at)
closed = app.topic(f"{RUN}-closed", key_type=str, value_type=Closed, retention=-1)
pairs = app.topic(f"{RUN}-pairs", key_type=str, value_type=Pair, retention=-1)
alone = app.topic(f"{RUN}-alone", key_type=str, value_type=Pair, retention=-1)
latest = app.topic(f"{RUN}-latest", key_type=str, value_type=Pair, retention=-1)
sessions = app.topic(f"{RUN}-sessions", key_type=str, value_type=Closed, retention=-1)
slid = app.topic(f"{RUN}-slid", key_type=str, value_type=Closed, retention=-1)
hopped = app.topic(f"{RUN}-hopped", key_type=str, value_type=Closed, retention=-1)
framed = app.topic(f"{RUN}-framed", key_type=str, value_type=Closed, retention=-1)
counted = app.topic(f"{RUN}-counted", key_type=str, value_type=Closed, retention=-1)
rows = app.topic(f"{RUN}-rows", key_type=str, value_type=Pair, retention=-1)
last_trade = app.Table("last_trade", key_type=str, value_type=int)
last_quote = app.Table("last_quote", key_type=str, value_type=int)


@app.agent(trades, sink=[closed])
async def close(stream):
    windows = stream.dedupe(Trade.id, within=20).window(pelton.tumbling(10), grace=5)
    async for one in windows.agg(count=Count(), total=Sum(Trade.number)).on_close():
        yield Closed(one.key, one.start_ms, one["count"], one["total"])


@app.agent(trades, sink=[pairs])
async def pair(stream):
    async for trade, quote in stream.join(quotes, within=(5, 5), grace=5):
        yield Pair(stream.lane.key, trade.number, quote.number)


@app.agent(trades, sink=[latest])
async def look(stream):
    async for trade, quote in stream.asof_join(quotes, grace=5):
        yield Pair(stream.lane.key, trade.number, None if quote is None else quote.number)


@app.agent(trades, sink=[alone])
async def pair_all(stream):
    async for trade, quote in stream.outer_join(quotes, within=(1, 2), grace=5):
        yield Pair(stream.lane.key, trade and trade.number, quote and quote.number)


AGGREGATES = {"count": Count(), "total": Sum(Trade.number)}


def closed_by(one):
    return Closed(one.key, one.start_ms, one["count"], one["total"])


@app.agent(trades, sink=[sessions])
async def visit(stream):
    async for one in stream.window(pelton.session(3), grace=5).agg(**AGGREGATES).on_close():
        yield closed_by(one)


@app.agent(trades, sink=[slid])
async def slide(stream):
    async for one in stream.window(pelton.sliding(4), grace=5).agg(**AGGREGATES).on_close():
        yield closed_by(one)


@app.agent(trades, sink=[hopped])
async def hop(stream):
    async for one in stream.window(pelton.hopping(10, 4), grace=5).agg(**AGGREGATES).on_close():
        yield closed_by(one)


@app.agent(trades)
async def hop_in_batches(stream):
    async for frame in stream.window(pelton.hopping(10, 4), grace=5).agg(**AGGREGATES).batches(final=True):
        for key, start_ms, _, count, total in frame.iter_rows():
            await framed.send(key=key, value=Closed(key, start_ms, count, total))


@app.agent(trades, sink=[counted])
async def count_off(stream):
    async for one in stream.window(pelton.counting(5)).agg(**AGGREGATES).on_close():
        yield closed_by(one)


@app.agent(trades)
async def note_trade(stream):
    async for key, trade in stream.items():
        last_trade[key] = trade.number


@app.agent(quotes)
async def note_quote(stream):
    async for key, quote in stream.items():
        last_quote[key] = quote.number


@app.agent(last_trade.outer_join(last_quote), sink=[rows])
async def join_tables(stream):
    async for key, (trade, quote) in stream.items():
        yield Pair(key, trade, quote)
