"""Tables of a class, and an agent that also writes what is none."""

from dataclasses import dataclass

import pelton
from pelton.errors import UserCodeError


@dataclass
class Point:
    """A place."""

    x: int
    y: int


app = pelton.App("typed-tables", topic_partitions=1)
writes = app.topic("writes", key_type=str, value_type=str)
points = app.Table("points", key_type=str, value_type=Point)
by_minute = app.Table("by_minute", key_type=str, value_type=Point).tumbling(60)
refused = []


@app.agent(writes)
async def write(stream):
    """Write a point, a dict that can be read as one, and text that cannot."""
    async for key, what in stream.items():
        try:
            if what == "windowed text":
                by_minute[key] = what
            else:
                points[key] = {"point": Point(1, 2), "dict": {"x": 3, "y": 4}, "text": what}[what]
        except UserCodeError as error:
            refused.append(str(error).splitlines()[0])
