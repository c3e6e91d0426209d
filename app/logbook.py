"""Reading the bank's topics back, outside of any agent: for commands that look at what has happened."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple

from app.bank import app
from pelton import TopicPartition, read_kept

__all__ = ["Entry", "entries"]

READ_BYTES_MAX = 4 * 1024 * 1024


class Entry(NamedTuple):
    """One record as it lies in the log.

    key: as text, "" for none. headers: by name, the last one where a name repeats.
    """

    partition: int
    offset: int
    key: str
    value: bytes
    headers: dict[str, bytes]


async def entries(topic: str, *, last: int | None = None) -> AsyncIterator[Entry]:
    """Yield the committed records of a topic, partition after partition, up to where each ends now.

    last: only so many at the end of each partition. Tombstones are left out, and what retention deletes before it is
    read. A topic that does not exist is empty.
    """
    await app.open_log()
    log = app.log_connection
    count = (await log.partitions([topic])).get(topic, 0)
    ranges = await log.offsets([TopicPartition(topic, partition) for partition in range(count)])
    for source, (start, end) in sorted(ranges.items()):
        offset = start if last is None else max(start, end - last)
        while offset < end:
            batch = await read_kept(log, source, offset, bytes_max=READ_BYTES_MAX, timeout_s=1.0)
            headers = batch.headers or [()] * len(batch)
            for at, key, value, pairs in zip(batch.offsets, batch.keys, batch.values, headers, strict=True):
                if value is not None and at < end:
                    named = {name: content for name, content in pairs if content is not None}
                    yield Entry(source.partition, at, (key or b"").decode(errors="replace"), value, named)
            if batch.next_offset <= offset:
                break
            offset = batch.next_offset
