"""Sales per minute and product, a session per customer: windows of a stream that is grouped first."""

import msgspec

import pelton
from pelton.aggregate import Count, Max, Sum


class Sale(msgspec.Struct):
    product: str
    customer: str
    price: float
    at: float


app = pelton.App("windowed-streams", topic_partitions=2)
sales = app.topic("sales", key_type=str, value_type=Sale)
late = app.topic("late-sales", key_type=str, value_type=Sale)
minutes = []
visits = []


@app.agent(sales)
async def per_minute(stream):
    windows = stream.group_by(Sale.product).window(pelton.tumbling(60), time=Sale.at, grace=5, late=late)
    async for minute in windows.agg(sold=Count(), value=Sum(Sale.price), dearest=Max(Sale.price)).on_close():
        minutes.append((minute.key, minute.start_ms // 1000, minute["sold"], minute["value"], minute["dearest"]))


@app.agent(sales)
async def per_visit(stream):
    visited = stream.group_by(Sale.customer).window(pelton.session(30), time=Sale.at, name="visits")
    async for visit in visited.agg(bought=Count()):
        visits.append((visit.key, visit.end_ms - visit.start_ms, visit["bought"]))
