"""Which worker is asked for which partitions, and what is done when it cannot answer.

    the worker itself ─▶ who has the partition, by the group's metadata ─▶ all workers, again and again, while the
    partition is on its way or being restored ─▶ a standby, if that will do ─▶ said to be missing

What comes back says of each partition who answered, and is complete, or names what is missing. An owner answers only
for what is surely its own (`pelton.runtime.holdings`), so that no two workers answer for one partition.
Source: interactive queries of Kafka Streams: KIP-67, and KIP-535 for standbys and their lag.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from pelton.clock import Clock
from pelton.errors import UnavailableError
from pelton.log.contract import MemberInfo
from pelton.web.wire import PartitionRows, RowsRequest, Trouble, WorkerRows

__all__ = ["PATIENCE_S", "PAUSE_S", "Asking", "Gathered", "Surroundings"]

#: How long a partition that nobody can answer for is asked for again: a hand-over takes well under a second, a restore
#: any time. With a standby that may answer there is less to wait for.
PATIENCE_S = 5.0
_PATIENCE_WITH_STANDBY_S = 1.0
PAUSE_S = 0.1

#: Which members to ask for which numbers.
_Plan = Mapping[MemberInfo, Collection[int]]


@dataclass(frozen=True, slots=True)
class Gathered:
    """What came together: partitions by number, and why the others are missing.

    trouble: why nobody can answer; None when there is none.
    """

    partitions: Mapping[int, PartitionRows]
    missing: Mapping[int, str]
    trouble: Trouble | None = None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What asking needs.

    address: this worker's own, "" in a process that is none. local: answers from this worker's state; None in a process
    that has none. members: the group's, as of now. ask: (address, request) -> a worker's answer.
    """

    address: str
    local: Callable[[RowsRequest], WorkerRows] | None
    members: Callable[[], Awaitable[Sequence[MemberInfo]]]
    ask: Callable[[str, RowsRequest], Awaitable[WorkerRows]]
    clock: Clock


class Asking:
    """Gathers rows of partitions, wherever these are."""

    def __init__(self, around: Surroundings) -> None:
        self._with = around

    async def gather(self, request: RowsRequest, *, anyone: bool = False) -> Gathered:
        """Return the rows that are asked for.

        request: standby says whether copies may answer where the owner cannot.
        anyone: whether every worker has all of it (a global table).
        """
        round_ = _Round(self._with, msgspec.structs.replace(request, standby=False), anyone)
        began_s = self._with.clock.monotonic()
        while True:
            await round_.ask_owners()
            waited_s = self._with.clock.monotonic() - began_s
            copies = request.standby and not anyone and bool(round_.with_copies())
            if round_.done or waited_s >= (_PATIENCE_WITH_STANDBY_S if copies else PATIENCE_S):
                break
            await self._with.clock.sleep(PAUSE_S)
        if copies and not round_.done:
            await round_.ask_standbys()
        return Gathered(round_.found, round_.missing, round_.trouble)

    async def everywhere(self, request: RowsRequest, *, anyone: bool = False) -> Mapping[str, WorkerRows]:
        """Return what each worker answers that should have one of the partitions, as its owner or as a copy.

        anyone: see `gather`. Returns: address -> its answer; it is asked once. Raises: UnavailableError.
        """
        wanted = request.starts.keys()
        members = [one for one in await self._with.members() if anyone or (one.tasks | one.standbys) & wanted]
        answers = await asyncio.gather(*(self._of_member(one, request, anyone=anyone) for one in members))
        return {one.address: answer for one, answer in zip(members, answers, strict=True)}

    async def _of_member(self, member: MemberInfo, request: RowsRequest, *, anyone: bool) -> WorkerRows:
        own = request.starts.keys() if anyone else member.tasks & request.starts.keys()
        request = msgspec.structs.replace(request, standby=not own)
        if self._with.local is not None and member.address == self._with.address:
            return self._with.local(request)
        try:
            return await self._with.ask(member.address, request)
        except UnavailableError as error:
            return WorkerRows(missing=dict.fromkeys(request.starts, error.message))


class _Round:
    """One request under way: what has been found, and what is still missing, and why."""

    def __init__(self, around: Surroundings, request: RowsRequest, anyone: bool) -> None:
        self.found: dict[int, PartitionRows] = {}
        self.missing: dict[int, str] = dict.fromkeys(request.starts, "no worker has the partition")
        self.trouble: Trouble | None = None
        self._with = around
        self._request = request
        self._anyone = anyone
        self._members: Sequence[MemberInfo] = ()
        self._rounds = 0

    @property
    def done(self) -> bool:
        """Whether there is nothing left to ask for."""
        return not self.missing or self.trouble is not None

    def with_copies(self) -> list[MemberInfo]:
        """Return the members that keep copies of what is missing."""
        return [member for member in self._members if member.standbys & self.missing.keys()]

    async def ask_owners(self) -> None:
        """Ask who should have what is missing; from the second time on, everybody: the group may be changing."""
        if self._with.local is not None:
            self._take(self._with.local(_cut(self._request, self.missing)), of=self.missing)
        if self.done:
            return
        try:
            self._members = await self._with.members()
        except UnavailableError as error:
            self.missing = dict.fromkeys(self.missing, error.message)
            return
        others = [m for m in self._members if m.address and m.address != self._with.address]
        plan = self._plan(others)
        self._rounds += 1
        await self._ask(plan, self._request)

    def _plan(self, others: Sequence[MemberInfo]) -> _Plan:
        if self._anyone:
            return dict.fromkeys(others[self._rounds % max(1, len(others)) :][:1], self.missing.keys())
        if self._rounds:
            return dict.fromkeys(others, self.missing.keys())
        return {member: wanted for member in others if (wanted := member.tasks & self.missing.keys())}

    async def ask_standbys(self) -> None:
        """Ask those who keep a copy, and take the one that is least behind."""
        request = msgspec.structs.replace(self._request, standby=True)
        if self._with.local is not None:
            self._take(self._with.local(_cut(request, self.missing)), of=())
        with_copies = [m for m in self.with_copies() if m.address and m.address != self._with.address]
        await self._ask({m: m.standbys & self.missing.keys() for m in with_copies}, request)

    async def _ask(self, plan: _Plan, request: RowsRequest) -> None:
        plan = {member: frozenset(numbers) for member, numbers in plan.items() if numbers}
        answers = await asyncio.gather(*(self._answer(one, _cut(request, plan[one])) for one in plan))
        for member, answer in zip(plan, answers, strict=True):
            self._take(answer, of=request.starts if self._anyone else () if request.standby else member.tasks)

    async def _answer(self, member: MemberInfo, request: RowsRequest) -> WorkerRows:
        try:
            return await self._with.ask(member.address, request)
        except UnavailableError as error:
            return WorkerRows(missing=dict.fromkeys(request.starts, error.message))

    def _take(self, answer: WorkerRows, of: Collection[int]) -> None:
        """Note an answer. of: the numbers that the worker should have, so that its reasons count."""
        self.trouble = self.trouble or answer.trouble
        for rows in answer.partitions:
            before = self.found.get(rows.number)
            if before is None or rows.behind < before.behind:
                self.found[rows.number] = rows
            self.missing.pop(rows.number, None)
        self.missing |= {n: why for n, why in answer.missing.items() if n in self.missing and n in of}


def _cut(request: RowsRequest, numbers: Collection[int]) -> RowsRequest:
    """Return a request for these numbers only."""
    return msgspec.structs.replace(request, starts={number: request.starts[number] for number in numbers})
