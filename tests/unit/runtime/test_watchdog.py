"""What the watchdog makes of what it sees. Real stalls of real processes are in tests/integration/test_watchdog.py."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest_asyncio

from pelton.batch import TopicPartition
from pelton.clock import SystemClock
from pelton.runtime.vitals import Condition, Pulse, Vitals
from pelton.runtime.watchdog import Ages
from tests.unit.runtime.runtime_scene import PARTITIONS, TOPIC, Scene, agent, opened

SOURCE = TopicPartition(TOPIC, 0)
WELL = Pulse(fetches=1, outage="", commits=0, committing=False, starting={}, drained={})


@pytest_asyncio.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with opened(tmp_path) as one:
        yield one


def test_what_keeps_its_mark_grows_old_and_what_moves_is_new() -> None:
    ages = Ages()
    still = {"fetch": Condition(1, "still")}
    assert [ages.advance(still, 1.0)["fetch"].for_s for _ in range(3)] == [0.0, 1.0, 2.0]
    assert ages.advance({"fetch": Condition(2, "moved")}, 1.0)["fetch"].for_s == 0.0


def test_what_was_not_there_begins_anew_unless_it_resumes() -> None:
    ages = Ages()
    both = {"one": Condition(1, ""), "two": Condition(1, "", resumes=True)}
    ages.advance(both, 1.0)
    ages.advance(both, 5.0)
    assert ages.advance({}, 5.0) == {}
    assert {name: trouble.for_s for name, trouble in ages.advance(both, 1.0).items()} == {"one": 0.0, "two": 6.0}


def test_a_grace_does_not_count() -> None:
    ages = Ages()
    waiting = {"commit": Condition(1, "", grace_s=3.0)}
    assert [ages.advance(waiting, 2.0)["commit"].for_s for _ in range(4)] == [0.0, 0.0, 1.0, 3.0]


class Watched:
    """Vitals of a pulse that the test sets."""

    def __init__(self, scene: Scene) -> None:
        self.pulse = WELL
        self.vitals = Vitals(lambda: self.pulse, scene.log, SystemClock(), ask_every_s=0.001, commit_s=1.0)

    def conditions(self, **changes: object) -> set[str]:
        self.pulse = replace(WELL, **changes)  # type: ignore[arg-type]
        return set(self.vitals.look().conditions)


@pytest_asyncio.fixture
async def watched(scene: Scene) -> AsyncIterator[Watched]:
    one = Watched(scene)
    yield one
    await one.vitals.close()


async def test_each_way_to_stand_still_has_a_name(scene: Scene, watched: Watched) -> None:
    assert watched.conditions() == {"fetch"}
    assert watched.conditions(committing=True) == {"fetch", "commit"}
    assert watched.conditions(starting={3: 17}) == {"fetch", "start 3"}
    await scene.append(*range(20))
    end = (await scene.log.offsets([SOURCE]))[SOURCE].end
    await scene.until(lambda: watched.conditions(drained={SOURCE: end - 1}) == {"fetch", f"fetch {SOURCE}"})
    assert watched.conditions(drained={SOURCE: end}) == {"fetch"}


async def test_what_follows_from_an_outage_is_no_standstill(watched: Watched) -> None:
    assert watched.conditions(outage="nobody answers", committing=True, starting={3: 17}) == {"fetch"}
    assert watched.vitals.look().outage == "nobody answers"


async def test_a_log_that_does_not_answer_the_watchdog_is_an_outage(scene: Scene, watched: Watched) -> None:
    watched.pulse = replace(WELL, drained={TopicPartition("gone", 0): 0}, committing=True)
    await scene.until(lambda: watched.vitals.look().outage)
    assert set(watched.vitals.look().conditions) == {"fetch"}


async def test_a_worker_with_nothing_to_do_stands_still_nowhere(scene: Scene) -> None:
    async def echo(stream: object) -> None:
        async for _ in stream:  # type: ignore[attr-defined]
            pass

    runtime = await scene.worker(agent(echo))
    await scene.append(*range(100))
    await scene.until_done()
    vitals = Vitals(runtime.pulse, scene.log, SystemClock(), ask_every_s=0.001, commit_s=1.0)
    ends = await scene.log.offsets([TopicPartition(TOPIC, number) for number in range(PARTITIONS)])
    await scene.until(lambda: set(vitals.look().conditions) == {"fetch"})
    assert runtime.pulse().drained == {source: span.end for source, span in ends.items()}
    before = runtime.pulse().fetches
    await scene.until(lambda: runtime.pulse().fetches > before)
    await vitals.close()
