"""The time of a topic's events, where a field of the value holds it: read a batch at a time, and bounded.

The batch gets another column of timestamps. So whatever goes by an event's time (windows, joins, windowed tables, what
an agent sends) goes by the field, and need not be told so. The log's own timestamps stay beside it, for dead letters: a
record that is replayed must be as it was. One value from the year 2099 would close all windows; how
far a time may be ahead of the log's timestamp of its record is a thing of the records alone (invariant I8).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pelton.batch import RecordBatch
from pelton.errors import DecodeError
from pelton.window import as_ms

__all__ = ["EventTime"]


@dataclass(frozen=True, slots=True)
class EventTime:
    """Where the events of a topic have their time.

    time_of: reads it from a value. max_future_ms: how far it may be ahead of the record's own timestamp, None for any.
    cap: whether what is further ahead is taken to be there; it is rejected otherwise.
    """

    time_of: Callable[[Any], Any]
    max_future_ms: int | None = None
    cap: bool = False

    def apply(
        self, batch: RecordBatch, values: Sequence[Any], rejected: Mapping[int, DecodeError]
    ) -> tuple[RecordBatch, dict[int, DecodeError]]:
        """Return the batch with the events' own times, and the rows that are rejected for theirs.

        Rows that are rejected already, or have no value, keep the timestamp of the log.
        """
        times_ms = list(batch.timestamps_ms)
        refused: dict[int, DecodeError] = {}
        for row, value in enumerate(values):
            if value is None or row in rejected:
                continue
            try:
                times_ms[row] = self._bounded(times_ms[row], as_ms(self.time_of(value)))
            except DecodeError as error:
                refused[row] = error
            except Exception as error:  # the field may be missing, or a function of the user's may raise anything
                refused[row] = DecodeError(
                    f"could not read the time of the event: {error!r}",
                    hint="timestamp= names a field with seconds since the epoch, a datetime, or ISO 8601",
                )
        return replace(batch, timestamps_ms=times_ms, log_times_ms=batch.timestamps_ms), refused

    def _bounded(self, record_ms: int, time_ms: int) -> int:
        if self.max_future_ms is None or time_ms <= record_ms + self.max_future_ms:
            return time_ms
        if self.cap:
            return record_ms + self.max_future_ms
        raise DecodeError(
            f"the event's time is {(time_ms - record_ms) / 1000:,.3f} s ahead of its record, "
            f"expected at most {self.max_future_ms / 1000:,.3f} s",
            hint='mend the producer\'s clock, raise max_future=, or write future="cap"',
        )
