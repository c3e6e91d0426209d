"""Orders joined with payments, with the table of customers, and with the global table of countries."""

import os

import msgspec

import pelton

#: What the names of its topics begin with, so that several can be on one Kafka.
RUN = os.environ.get("JOINED_STREAMS_RUN", "joined-streams")


class Order(msgspec.Struct):
    id: str
    customer: str
    country: str
    at: float


class Payment(msgspec.Struct):
    order: str
    amount: float
    at: float


app = pelton.App(RUN, topic_partitions=2)
orders = app.topic(f"{RUN}-orders", key_type=str, value_type=Order)
payments = app.topic(f"{RUN}-payments", key_type=str, value_type=Payment)
customers = app.topic(f"{RUN}-customers", key_type=str, value_type=str)
unpaid = app.topic(f"{RUN}-unpaid", key_type=str, value_type=Order, retention=-1)
names = app.Table("names", key_type=str, value_type=str)
countries = app.GlobalTable("countries", key_type=str, value_type=str)
cities = app.Table("cities", key_type=str, value_type=str)
moves = app.topic(f"{RUN}-moves", key_type=str, value_type=str)
letters = app.topic(f"{RUN}-letters", key_type=str, value_type=tuple)
told = app.topic(f"{RUN}-told", key_type=str, value_type=str)
rates_told = app.topic(f"{RUN}-rates", key_type=str, value_type=float, retention=-1)
trades = app.topic(f"{RUN}-trades", key_type=str, value_type=float, retention=-1)
rates = app.Table("rates", key_type=str, value_type=float, history=3600)
converted = []
quoted = []
paid = []
addressed = []


@app.agent(orders, sink=[unpaid])
async def pay(stream):
    joined = stream.left_join(payments, within=(0, 60), on=(Order.id, Payment.order), time=(Order.at, Payment.at))
    async for order, payment in joined:
        if payment is None:
            yield order
        else:
            paid.append((order.id, payment.amount))


@app.agent(customers)
async def name(stream):
    async for customer, text in stream.items():
        if text:
            names[customer] = text
        else:
            names.pop(customer)


@app.agent(rates_told)
async def rate(stream):
    async for currency, number in stream.items():
        rates[currency] = number


@app.agent(trades)
async def convert(stream):
    async for amount, number in stream.left_join(rates, as_of=True):
        converted.append((amount, number))


@app.agent(trades)
async def quote(stream):
    async for amount, number in stream.asof_join(rates_told, tolerance=3600):
        quoted.append((amount, number))


@app.agent(moves)
async def move(stream):
    async for customer, city in stream.items():
        cities[customer] = city


@app.agent(names.join(cities), sink=[letters])
async def write_to(rows):
    async for row in rows:
        yield row


@app.agent(told)
async def tell(stream):
    async for country, text in stream.items():
        countries[country] = text


@app.agent(orders)
async def address(stream):
    async for order, customer in stream.group_by(Order.customer).left_join(names):
        addressed.append((order.id, customer))


@app.agent(orders)
async def ship(stream):
    async for order, country in stream.join(countries, on=Order.country):
        addressed.append((order.id, country))
