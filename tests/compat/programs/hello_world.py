"""The first program of every introduction: greetings go in, and are told."""

import faust

import pelton

app = pelton.App("hello-world", topic_partitions=2, value_serializer="raw")
greetings_topic = app.topic("greetings", value_type=str)
heard: list[str] = []


class Greeting(faust.Record):
    from_name: str
    to_name: str


letters_topic = app.topic("letters", value_type=Greeting, value_serializer="json")
letters: list[Greeting] = []


@app.agent(greetings_topic)
async def print_greetings(greetings):
    """Tell each greeting."""
    async for greeting in greetings:
        heard.append(greeting)


@app.agent(letters_topic)
async def read_letters(stream):
    """Read each letter."""
    async for letter in stream:
        letters.append(letter)


@app.timer(interval=0.02)
async def example_sender():
    await read_letters.send(value=Greeting(from_name="Ada", to_name="Grace"))
