"""A join of two tables by a foreign key: orders, by id, each with the name of its customer, as both change.

The order's side and the customer's side each keep their table where their key lies. What a customer's side finds goes
back to the order's, which takes it only for the order as it is now: an answer from the customer that an order had
before comes too late (as in Kafka Streams, KIP-213, which compares a hash).
"""

import msgspec

import pelton


class Order(msgspec.Struct, frozen=True):
    customer: str
    amount: int


class Link(msgspec.Struct):
    """An order that has come to a customer, or with None left it."""

    id: str
    order: Order | None


class Found(msgspec.Struct):
    """What a customer's side knows for an order: the name of the customer, or None."""

    order: Order
    name: str | None


class Row(msgspec.Struct):
    amount: int
    name: str


app = pelton.App("foreign-keys", topic_partitions=3)
orders = app.topic("orders", key_type=str, value_type=Order, allow_empty=True)
customers = app.topic("customers", key_type=str, value_type=str, allow_empty=True)
links = app.topic("links", key_type=str, value_type=Link)
found = app.topic("found", key_type=str, value_type=Found)
rows = app.topic("rows", key_type=str, value_type=Row, allow_empty=True)

placed = app.Table("placed", key_type=str, value_type=Order)
names = app.Table("names", key_type=str, value_type=str)
orders_of = app.Table("orders_of", key_type=str, value_type=dict[str, Order], default=dict)


@app.agent(orders)
async def place(stream):
    async for id_, order in stream.items():
        before = placed.pop(id_, None)
        if before is not None and (order is None or order.customer != before.customer):
            await links.send(key=before.customer, value=Link(id_, None))
        if order is not None:
            placed[id_] = order
            await links.send(key=order.customer, value=Link(id_, order))
        else:
            await rows.send(key=id_, value=None)


@app.agent(links)
async def link(stream):
    async for customer, one in stream.items():
        mine = orders_of[customer]
        mine.pop(one.id, None)
        if one.order is not None:
            mine[one.id] = one.order
            await found.send(key=one.id, value=Found(one.order, names.get(customer)))
        orders_of[customer] = mine


@app.agent(customers)
async def rename(stream):
    async for customer, name in stream.items():
        names.pop(customer, None)
        if name is not None:
            names[customer] = name
        for id_, order in orders_of[customer].items():
            await found.send(key=id_, value=Found(order, name))


@app.agent(found)
async def answer(stream):
    async for id_, one in stream.items():
        if placed.get(id_) == one.order:
            await rows.send(key=id_, value=None if one.name is None else Row(one.order.amount, one.name))
