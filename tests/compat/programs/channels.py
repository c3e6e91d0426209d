"""Channels: agents without a topic, and streams of channels."""

import pelton

app = pelton.App("channels", topic_partitions=2)
channel = app.channel(value_type=str)
heard, doubled = [], []
results_topic = app.topic("results", value_type=str)


@app.agent(channel, concurrency=2)
async def shout(stream):
    """Send what comes on, in capitals."""
    async for word in stream:
        heard.append(word)
        await results_topic.send(value=word.upper())
        yield word


numbers = app.channel(maxsize=10)


@app.agent(numbers)
async def double(stream):
    async for number in stream:
        doubled.append(number * 2)
        yield number * 2


@app.task
async def iterate():
    """Put into a channel and read it by hand."""
    own = app.channel()
    await own.put("by hand")
    async for event in own:
        await channel.send(key="k", value=event.value)
        break
