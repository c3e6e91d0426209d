"""An agent with several events under way at once: those of one key stay in order, and so does what comes of them."""

import asyncio

import pelton

app = pelton.App("concurrency", topic_partitions=1)
jobs_topic = app.topic("jobs", key_type=str, value_type=int)
done_topic = app.topic("done", key_type=str, value_type=int)
sums = app.Table("sums", default=int, key_type=str)
under_way, most = set(), []
started, gate = [], asyncio.Event()


@app.agent(jobs_topic, concurrency=4, sink=[done_topic])
async def work(stream):
    """Wait for the gate in every event."""
    async for key, number in stream.items():
        under_way.add(number)
        most.append(len(under_way))
        started.append((key, number))
        await gate.wait()
        sums[key] += number
        under_way.discard(number)
        yield number
