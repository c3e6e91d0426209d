"""Calls from a stream against a model, for any batches, order of landing, failures, commits and crashes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pelton.backoff import Backoff
from pelton.stream.call_cache import CallCache
from pelton.stream.call_limits import TokenBucket
from tests.unit.runtime.task_rig import Rig, add, agent, lane, letters, numbers, position, sent

CALLS = "calls"
#: So often the loop turns between two steps: more than anything here needs to come to rest.
TURNS = 40


class Step(NamedTuple):
    """What happens next. number: how many rows, or which of the calls under way."""

    kind: Literal["put", "land", "fail", "bad body", "commit", "crash"]
    number: int


steps = st.lists(
    st.builds(Step, st.sampled_from(["put", "land", "land", "fail", "bad body", "commit", "crash"]), st.integers(0, 9)),
    max_size=30,
)


class Program:
    """What the stream asks of the program around it."""

    def operator_table(self, stream: Any, name: str) -> str:
        return CALLS

    def call_bucket(self, stream: Any, table: str, limit: Any) -> TokenBucket:
        return TokenBucket(limit)


class World:
    """One partition over all its crashes: what was asked of the outside, and what became durable.

    Events are numbers, their keys are the last digit in base `keys`.
    """

    def __init__(self, events: int, keys: int, order: Any, concurrency: int, cache: CallCache | None = None) -> None:
        self.events, self.keys = events, keys
        self.options: Any = {"order": order, "concurrency": concurrency, "cache": cache}
        self.under_way: dict[int, asyncio.Future[int]] = {}
        self.asked: Counter[int] = Counter()
        self.bad_bodies = 0
        self.fed = 0
        self.committed = 0
        self.out: list[int] = []
        self.letters: list[int] = []
        #: Calls whose results are there; how often those had been made that were when a commit came.
        self.landed: set[int] = set()
        self.recorded: dict[int, int] = {}
        self.most = 0
        self.rig: Rig

    def key(self, number: int) -> bytes:
        return b"%d" % (number % self.keys)

    async def _ask(self, number: int) -> int:
        assert number not in self.under_way, "asked while it is being asked"
        self.asked[number] += 1
        future = self.under_way[number] = asyncio.get_running_loop().create_future()
        self.most = max(self.most, len(self.under_way))
        try:
            return await future
        finally:
            del self.under_way[number]

    async def _agent(self, stream: Any) -> Any:
        stream.program = Program()
        async for number, answer in stream.map_async(
            self._ask, retries=Backoff(retries=1, first=0), **self.options
        ).pairs():
            assert answer == number * 10
            assert lane().raw_key == self.key(number)
            add(self.key(number), number)
            if self.bad_bodies:
                self.bad_bodies -= 1
                raise ValueError("the body fails")
            yield number

    def _rig(self, before: Rig | None) -> Rig:
        spec = agent(self._agent)
        starts = {spec.name: self.committed}
        rig = Rig(spec, starts=starts, retries=10, tables=[CALLS], before=before)
        for task in rig.tasks:
            task.start()
        return rig

    async def settle(self) -> None:
        for _ in range(TURNS):
            await asyncio.sleep(0)
            for task in self.rig.tasks:
                if (error := task.crash()) is not None:
                    raise error

    def put(self, count: int) -> None:
        batch = range(self.fed, min(self.fed + count, self.events))
        if batch:
            self.rig.put(numbers(*batch, first=self.fed, keys=[self.key(number) for number in batch]))
            self.fed = batch.stop

    def finish(self, which: int, *, fail: bool = False) -> None:
        if self.under_way:
            number = sorted(self.under_way)[which % len(self.under_way)]
            future = self.under_way[number]
            if not future.done():
                if fail:
                    future.set_exception(ValueError("the call fails"))
                else:
                    future.set_result(number * 10)
                    self.landed.add(number)

    def commit(self) -> None:
        staged = self.rig.partition.stage(0)
        if staged is not None:
            self.rig.store(staged)
        assert not self.rig.partition.staged, "a commit leaves nothing to commit"
        for number in self.landed:
            self.recorded.setdefault(number, self.asked[number])
        if staged is None:
            return
        self.out += [int(value or b"") for value in sent(staged)]
        self.letters += [offset for offset, *_ in letters(staged)]
        self.committed = position(staged).offset

    def rows(self) -> list[tuple[bytes, bytes]]:
        return list(self.rig.partition.store.scan(CALLS, b"e", b"f"))

    async def crash(self) -> None:
        for task in self.rig.tasks:
            await task.cancel()
        self.under_way.clear()
        self.landed.clear()
        self.fed = self.committed
        self.rig = self._rig(self.rig)

    async def end(self) -> None:
        """Let all that is left come to its end."""
        self.bad_bodies = 0
        while self.committed < self.events:
            self.put(self.events)
            await self.settle()
            for which in range(len(self.under_way)):
                self.finish(which)
            await self.settle()
            self.commit()
        await self.settle()
        self.commit()

    async def play(self, script: Sequence[Step]) -> None:
        self.rig = self._rig(None)
        try:
            for kind, number in script:
                if kind == "put":
                    self.put(number)
                elif kind in ("land", "fail"):
                    self.finish(number, fail=kind == "fail")
                elif kind == "bad body":
                    self.bad_bodies = 1
                elif kind == "commit":
                    self.commit()
                else:
                    await self.crash()
                await self.settle()
            await self.end()
        finally:
            for task in self.rig.tasks:
                await task.cancel()


@pytest.mark.parametrize("order", ["key", "log", "none"])
@settings(deadline=None, max_examples=80)
@example(script=[Step("put", 9), Step("land", 3), Step("commit", 0), Step("crash", 0)], keys=2, concurrency=4)
@example(script=[Step("put", 9), Step("land", 3), Step("bad body", 0), Step("land", 0)], keys=3, concurrency=4)
@given(script=steps, keys=st.integers(1, 4), concurrency=st.integers(1, 5))
def test_every_event_once_in_order_and_no_recorded_call_twice(
    order: str, script: list[Step], keys: int, concurrency: int
) -> None:
    events = 12
    world = World(events, keys, order, concurrency)
    asyncio.run(world.play(script))
    assert Counter(world.out + world.letters) == Counter(range(events)), "each event once, or its letter"
    if order == "log":
        assert world.out == sorted(world.out)
    if order == "key":
        for key in range(keys):
            mine = [number for number in world.out if number % keys == key]
            assert mine == sorted(mine)
    assert {number: world.asked[number] for number in world.recorded} == world.recorded
    assert world.most <= concurrency
    sums = {key: int(value) for key, value in world.rig.partition.store.scan("sums")}
    expected: Counter[bytes] = Counter()
    for number in world.out:
        expected[world.key(number)] += number
    assert {key: total for key, total in expected.items() if total} == {k: v for k, v in sums.items() if v}
    assert world.rows() == []
