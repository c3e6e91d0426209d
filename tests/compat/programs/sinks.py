"""Where the values go that an agent yields: topics, agents, channels and functions."""

import pelton

app = pelton.App("sinks", topic_partitions=2)
numbers_topic = app.topic("numbers", key_type=str, value_type=int)
squares_topic = app.topic("squares", key_type=str, value_type=int)
channel = app.channel()
called, awaited, from_agent, from_channel = [], [], [], []


@app.agent(app.topic("halves", value_type=float))
async def halves(stream):
    """Remember halves."""
    async for value in stream:
        from_agent.append(value)


@app.agent(channel)
async def listen(stream):
    """Remember what comes through the channel."""
    async for value in stream:
        from_channel.append(value)


def function(value):
    """Take a value."""
    called.append(value)


async def coroutine(value):
    """Take a value, later."""
    awaited.append(value)


@app.agent(numbers_topic, sink=[squares_topic, halves, channel, function, coroutine])
async def square(stream):
    """Square each number."""
    async for number in stream:
        yield number * number


late = []


@app.agent(squares_topic)
async def squares(stream):
    """Pass squares on, to what is added later."""
    async for value in stream:
        yield value


squares.add_sink(late.append)
