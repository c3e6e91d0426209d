"""Requests and answers: agents that others ask."""

import faust

import pelton


class Sum(faust.Record):
    x: int
    y: int


app = pelton.App("calculator", topic_partitions=2)
sums_topic = app.topic("sums", value_type=Sum)
log = []


@app.agent(sums_topic)
async def add(stream):
    """Add two numbers."""
    async for value in stream:
        yield value.x + value.y


@app.agent()
async def double(stream):
    """Double a number; its topic is made up from its name."""
    async for value in stream:
        if value == "missing":
            raise OSError("no file \udcff")
        yield value * 2


@app.agent()
async def note(stream):
    """Answer nothing, only remember."""
    async for value in stream:
        log.append(value)


@app.agent(app.topic("fours", value_type=int))
async def quadruple(stream):
    """Ask another agent twice, within an event."""
    async for value in stream:
        once = await double.ask(value)
        yield await double.ask(once)


answers_topic = app.topic("answers", value_type=None)
answers = []


@app.agent(answers_topic)
async def collect(stream):
    """Read the answers that were directed here."""
    async for answer in stream:
        answers.append(answer)
