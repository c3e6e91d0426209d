"""Agents with `concurrency=`: events overlap inside, effects keep the order of the log."""

from __future__ import annotations

import pytest

from tests.compat.harness import load, records, settled, until, values, worker

pytestmark = pytest.mark.usefixtures("each_log")

JOBS = [("a", 1), ("b", 2), ("c", 3), ("a", 4), ("d", 5), ("b", 6), ("e", 7), ("a", 8)]


async def test_events_overlap_and_effects_are_in_order() -> None:
    program = load("concurrency")
    async with worker(program.app):
        receipts = [await program.jobs_topic.send(key=key, value=number) for key, number in JOBS]
        for receipt in receipts:
            await receipt
        await until(lambda: program.most and max(program.most) > 1, "events to overlap")
        assert await records(program.app, "done") == []
        program.gate.set()
        assert await values(program.app, "done", len(JOBS)) == [number for _, number in JOBS]
        await settled(program.app, len(JOBS))
        assert dict(program.sums.items()) == {"a": 13, "b": 8, "c": 3, "d": 5, "e": 7}
    assert [number for key, number in program.started if key == "a"] == [1, 4, 8]
