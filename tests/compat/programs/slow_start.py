"""An agent that waits for something of its own before it reads its first event."""

import asyncio

import pelton

app = pelton.App("slow-start", topic_partitions=1)
numbers = app.topic("numbers", value_type=int)


@app.agent(numbers)
async def warming_up(stream):
    """Load what it needs, which takes for ever, then read."""
    print("warming up", flush=True)
    await asyncio.Event().wait()
    async for _ in stream:
        pass
