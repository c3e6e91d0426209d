"""What must move while the engine works, as the watchdog sees it (invariant I6).

An agent that awaits something for minutes is slow, not stuck: nothing here looks at an event that is under way. What is
looked at is the engine's own work: its fetch comes round, what was handed out to the end is followed by what the log
holds, complete events are committed, assigned partitions start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field

from pelton.batch import TopicPartition
from pelton.clock import Clock
from pelton.errors import PeltonError
from pelton.log.contract import Log, OffsetRange

__all__ = ["Condition", "Findings", "Pulse", "Vitals"]


@dataclass(frozen=True, slots=True)
class Pulse:
    """Where the runtime stands.

    fetches: turns of the fetch loop, those that failed too. outage: why the last one failed, "" when it did not.
    commits: those that succeeded. committing: whether complete events wait for one.
    starting: partition number -> records restored, for those that are assigned and do not run yet.
    drained: for partitions whose agents have done all that they were handed, the offset each goes on from.
    """

    fetches: int
    outage: str
    commits: int
    committing: bool
    starting: Mapping[int, int]
    drained: Mapping[TopicPartition, int]


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that stands still for as long as its mark stays the same.

    grace_s: how long it may, in seconds, before that counts.
    resumes: whether it keeps its age while it is not there, until its mark changes.
    """

    mark: Hashable
    text: str
    grace_s: float = 0.0
    resumes: bool = False


@dataclass(frozen=True, slots=True)
class Findings:
    """What one look found.

    conditions: what should not stay as it is, under names that stay the same from look to look.
    outage: why the log does not answer, "" when it does. Restarting would not help, so nothing that follows from it is
        among the conditions.
    """

    conditions: Mapping[str, Condition] = field(default_factory=dict[str, Condition])
    outage: str = ""


class Vitals:
    """Looks at the runtime, and asks the log for itself how far its partitions go.

    The ends that came with the fetches do not count: a partition that is not fetched has an old one.
    commit_s: how long complete events may wait for their commit.
    """

    def __init__(
        self, pulse: Callable[[], Pulse], log: Log, clock: Clock, *, ask_every_s: float, commit_s: float
    ) -> None:
        self._pulse = pulse
        self._log = log
        self._clock = clock
        self._ask_every_s = ask_every_s
        self._commit_s = commit_s
        self._ends: Mapping[TopicPartition, OffsetRange] = {}
        self._outage = ""
        self._asking = asyncio.create_task(self._ask(), name="pelton watchdog")

    async def _ask(self) -> None:
        while True:
            await self._clock.sleep(self._ask_every_s, idle=True)
            try:
                self._ends = await self._log.offsets(self._pulse().drained)
                self._outage = ""
            except PeltonError as error:
                self._outage = str(error)

    def look(self) -> Findings:
        """Return what stands still now; on the loop's thread."""
        if self._asking.done():
            self._asking.result()
        pulse = self._pulse()
        conditions = {"fetch": Condition(pulse.fetches, "the fetch does not come round")}
        outage = pulse.outage or self._outage
        if not outage:
            conditions |= self._progress(pulse)
        return Findings(conditions, outage)

    def _progress(self, pulse: Pulse) -> Mapping[str, Condition]:
        found: dict[str, Condition] = {}
        if pulse.committing:
            # Between a commit that failed and the next one there is a moment with nothing to commit.
            text = "complete events wait for a commit, and none succeeds"
            found["commit"] = Condition(pulse.commits, text, grace_s=self._commit_s, resumes=True)
        for number, restored in pulse.starting.items():
            text = f"partition {number} is assigned and does not start, {restored} records are restored"
            found[f"start {number}"] = Condition(restored, text)
        for source, offset in pulse.drained.items():
            if source in self._ends and offset < (end := self._ends[source].end):
                text = f"{source} is assigned and not fetched: it stands at offset {offset}, the log ends at {end}"
                found[f"fetch {source}"] = Condition(offset, text)
        return found

    async def close(self) -> None:
        """Ask no more."""
        self._asking.cancel()
        await asyncio.gather(self._asking, return_exceptions=True)
