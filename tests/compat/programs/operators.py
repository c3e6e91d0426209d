"""What streams can do."""

import faust

import pelton


class Order(faust.Record):
    id: int
    customer: str
    product: str
    paid: bool = True


app = pelton.App("operators", topic_partitions=1)


def orders(name):
    """Return a topic of orders."""
    return app.topic(name, key_type=str, value_type=Order)


seen = {name: [] for name in ("events", "items", "take", "filter", "async", "field", "function", "through", "number")}
echoed_topic = orders("echoed")
grouped_topic = orders("grouped")
through_topic = orders("through-here")
source = {name: orders(f"orders-{name}") for name in (*seen, "echo", "noack", "chain")}
seen |= {"noack": [], "chain": []}


@app.agent(source["events"])
async def read_events(stream):
    async for event in stream.events():
        seen["events"].append((event.key, event.value.id, event.message.topic, dict(event.headers)))


@app.agent(source["items"])
async def read_items(stream):
    async for key, order in stream.items():
        seen["items"].append((key, order.id))


@app.agent(source["take"])
async def read_take(stream):
    async for many in stream.take(3, within=0.05):
        seen["take"].append([order.id for order in many])


@app.agent(source["filter"])
async def read_filter(stream):
    async for order in stream.filter(lambda order: order.paid):
        seen["filter"].append(order.id)


async def is_paid(order):
    return order.paid


@app.agent(source["async"])
async def read_async_filter(stream):
    async for order in stream.filter(is_paid):
        seen["async"].append(order.id)


@app.agent(source["field"])
async def group_by_field(stream):
    async for event in stream.group_by(Order.customer).events():
        seen["field"].append((event.key, event.value.id))


def product_of(order):
    return order.product.upper()


@app.agent(source["function"])
async def group_by_function(stream):
    async for key, order in stream.group_by(product_of, name="by_product").items():
        seen["function"].append((key, order.id))


@app.agent(source["through"])
async def go_through(stream):
    async for event in stream.through(through_topic).events():
        seen["through"].append((event.key, event.value.id, event.message.topic))


@app.agent(source["number"])
async def count(stream):
    async for number, order in stream.enumerate(start=1):
        seen["number"].append((number, order.id))


@app.agent(source["echo"])
async def echo(stream):
    async for _ in stream.echo(echoed_topic):
        pass


@app.agent(source["noack"])
async def acknowledge(stream):
    async for event in stream.noack().events():
        event.ack()
        seen["noack"].append(event.value.id)


@app.agent(source["chain"])
async def chained(stream):
    paid = stream.filter(is_paid).echo(grouped_topic)
    async for number, order in paid.group_by(Order.product).filter(lambda o: o.id > 1).enumerate():
        seen["chain"].append((number, order.id))
