"""Reading a partition from an offset on while retention deletes from its beginning."""

from __future__ import annotations

from pelton.batch import RecordBatch, TopicPartition
from pelton.errors import OffsetOutOfRangeError
from pelton.log.contract import Log

__all__ = ["read_kept"]


async def read_kept(log: Log, source: TopicPartition, offset: int, *, bytes_max: int, timeout_s: float) -> RecordBatch:
    """Return records as `Log.read` does: from the offset on, or from the first that is left where that is behind it.

    Who asks where a partition begins and then reads it has no promise that it still begins there.
    Raises: OffsetOutOfRangeError for an offset behind the end; what `Log.read` raises.
    """
    while True:
        try:
            return await log.read(source, offset, bytes_max=bytes_max, timeout_s=timeout_s)
        except OffsetOutOfRangeError:
            first = (await log.offsets([source]))[source].start
            if first <= offset:
                raise
            offset = first
