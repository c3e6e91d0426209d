"""What the engine measures as it works: how long its steps take, how much each of them moves.

Nothing is measured per record: an observation is one of a batch, a slice, a commit or a restore. It costs a look at the
clock and a bisection, so it is always on.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pelton.batch import RecordBatch, TopicPartition

__all__ = ["STEP_S", "Distribution", "Flow", "Histogram", "Measured", "Measures"]

#: Upper bounds of the buckets, in seconds: from one slice of an agent's work to a commit that waits for a broker.
STEP_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
#: A restore replays a tail, or a whole changelog.
RESTORE_S = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0)
#: Of so many batches of a partition it is known when they were written.
_BEGINS_MAX = 256
RECORDS = (1, 10, 100, 1_000, 10_000, 100_000, 1_000_000)


@dataclass(frozen=True, slots=True)
class Distribution:
    """How observations spread.

    bounds: the upper bound of each bucket, itself within. counts: observations in each bucket, and behind the last.
    total: the sum of all observations, in their own unit.
    """

    bounds: Sequence[float]
    counts: Sequence[int]
    total: float


class Histogram:
    """Counts observations in buckets. bounds: rising."""

    __slots__ = ("_bounds", "_counts", "_total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._total = 0.0

    def observe(self, value: float) -> None:
        """Count one observation."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._total += value

    def statistics(self) -> Distribution:
        """Return the counts as they are."""
        return Distribution(self._bounds, tuple(self._counts), self._total)


@dataclass(frozen=True, slots=True)
class Flow:
    """Records and bytes of one partition that were fetched since it came to this worker."""

    records: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured since the worker started; of a partition, since it came.

    fetched: what came of each partition that is here. written: topic -> records that commits wrote, changelogs too.
    decode_s, batch_records: by topic, one observation a fetched batch. process_s: by agent, one a slice of events.
    commit_s: of commits that succeeded; store_write_s: the part of it that local stores took; commit_records: events
    in each of them. restore_s: of each partition that was opened. loop_delay_s: how late the event loop answers.
    """

    fetched: Mapping[TopicPartition, Flow] = field(default_factory=dict[TopicPartition, Flow])
    written: Mapping[str, int] = field(default_factory=dict[str, int])
    decode_s: Mapping[str, Distribution] = field(default_factory=dict[str, Distribution])
    process_s: Mapping[str, Distribution] = field(default_factory=dict[str, Distribution])
    batch_records: Mapping[str, Distribution] = field(default_factory=dict[str, Distribution])
    commit_s: Distribution | None = None
    store_write_s: Distribution | None = None
    commit_records: Distribution | None = None
    restore_s: Distribution | None = None
    loop_delay_s: Distribution | None = None


class _Labelled(dict[str, Histogram]):
    """A histogram for each label, made when it is first asked for."""

    def __init__(self, bounds: Sequence[float]) -> None:
        super().__init__()
        self._bounds = bounds

    def __missing__(self, label: str) -> Histogram:
        made = self[label] = Histogram(self._bounds)
        return made

    def statistics(self) -> Mapping[str, Distribution]:
        """Return all of them as they are."""
        return {label: one.statistics() for label, one in self.items()}


class Measures:
    """What a worker's engine measures; each field is that of `Measured`."""

    def __init__(self) -> None:
        self.written: Counter[str] = Counter()
        self.decode_s = _Labelled(STEP_S)
        self.process_s = _Labelled(STEP_S)
        self.batch_records = _Labelled(RECORDS)
        self.commit_s = Histogram(STEP_S)
        self.store_write_s = Histogram(STEP_S)
        self.commit_records = Histogram(RECORDS)
        self.restore_s = Histogram(RESTORE_S)
        self.loop_delay_s = Histogram(STEP_S)
        self._records: Counter[TopicPartition] = Counter()
        self._bytes: Counter[TopicPartition] = Counter()
        self._begins: dict[TopicPartition, deque[tuple[int, int]]] = defaultdict(lambda: deque(maxlen=_BEGINS_MAX))

    def fetched(self, batch: RecordBatch) -> None:
        """Count a batch that was fetched."""
        source = batch.source
        self._records[source] += len(batch)
        self._bytes[source] += batch.nbytes
        self.batch_records[batch.topic].observe(len(batch))
        if batch.offsets:
            self._begins[source].append((batch.offsets[0], batch.log_time_ms(0)))

    def left(self, number: int) -> None:
        """Forget what came of a partition number: it is somebody else's now."""
        for source in [source for source in self._records if source.partition == number]:
            del self._records[source], self._bytes[source]
            self._begins.pop(source, None)

    def written_ms(self, source: TopicPartition, offset: int) -> int | None:
        """Return the timestamp of the record that began the batch of an offset; None where that was not fetched.

        Of batches that were fetched long ago, that of the oldest that is known.
        """
        begins = self._begins.get(source) or ()
        known = [time_ms for first, time_ms in begins if first <= offset]
        return known[-1] if known else next((time_ms for _, time_ms in begins), None)

    def statistics(self) -> Measured:
        """Return what was measured so far."""
        return Measured(
            fetched={source: Flow(records, self._bytes[source]) for source, records in self._records.items()},
            written=dict(self.written),
            decode_s=self.decode_s.statistics(),
            process_s=self.process_s.statistics(),
            batch_records=self.batch_records.statistics(),
            commit_s=self.commit_s.statistics(),
            store_write_s=self.store_write_s.statistics(),
            commit_records=self.commit_records.statistics(),
            restore_s=self.restore_s.statistics(),
            loop_delay_s=self.loop_delay_s.statistics(),
        )
