"""Callbacks when tables have been restored, events that are sent on, and channels iterated by hand."""

import pelton

app = pelton.App("recovering", topic_partitions=1)
happened = []


async def restored():
    happened.append("given")


table = app.Table("table", default=int, key_type=str, on_recover=restored)
windowed = app.Table("windowed", default=int).tumbling(10)


@table.on_recover
async def decorated():
    happened.append("decorated")


@windowed.on_recover
async def of_windowed():
    happened.append("windowed")


source_topic = app.topic("source", key_type=str, value_type=dict)
copies_topic = app.topic("copies", key_type=str, value_type=dict)
changed_topic = app.topic("changed", key_type=str, value_type=dict)


@app.agent(source_topic)
async def copy(stream):
    """Send events on, as they are and changed."""
    async for event in stream.events():
        table[event.key] += 1
        async with event:
            await event.forward(copies_topic)
            await event.send(changed_topic, value={"changed": event.value})
        current = pelton.current_event()
        happened.append(("current", current.key, stream.current_event.value))


stamped = []


@app.agent(app.topic("stamped", value_type=dict))
async def stamp(stream):
    """Take events with the log's timestamps."""
    async for many in stream.take_with_timestamp(2, within=10, timestamp_field_name="at"):
        stamped.extend(many)


channel = app.channel()
by_hand = []


@app.task
async def iterate():
    """Iterate a channel outside of agents."""
    channel.send_soon(value=1)
    async for value in app.stream(channel).filter(lambda value: value != 2):
        by_hand.append(value)
