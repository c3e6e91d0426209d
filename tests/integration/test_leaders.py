"""Leader-only work over several real workers, of which leaders stop, are killed, or are suspended and wake up again."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import pytest

ROOT = Path(__file__).parents[2]
WORKS = ("task", "timer", "crontab")
WAIT_S = 120.0
#: As quick as it goes: Kafka's brokers take no session shorter than six seconds.
SESSIONS = {"sqlite": ("2", "0.3"), "kafka": ("6", "1")}

pytestmark = pytest.mark.timeout(400)


class Note(NamedTuple):
    """A line of the journal."""

    at: float
    pid: int
    epoch: int
    work: str
    what: str


class Crew:
    """Workers of one application on one log, and their common journal."""

    def __init__(self, broker_url: str, directory: Path) -> None:
        self.broker_url, self.directory = broker_url, directory
        self.run = f"leader-{uuid4().hex[:8]}"
        self.journal = directory / "journal.txt"
        self.journal.touch()
        self.workers: list[subprocess.Popen[bytes]] = []

    def start(self) -> subprocess.Popen[bytes]:
        session, heartbeat = SESSIONS[self.broker_url.partition(":")[0]]
        environment = os.environ | {
            "LEADER_RUN": self.run,
            "LEADER_JOURNAL": str(self.journal),
            "BROKER_URL": self.broker_url,
            "BROKER_SESSION_TIMEOUT": session,
            "BROKER_HEARTBEAT_INTERVAL": heartbeat,
            "APP_DATADIR": str(self.directory / f"data-{len(self.workers)}-{uuid4().hex[:4]}"),
            "PELTON_COMMIT_INTERVAL_MS": "30",
        }
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        command = [sys.executable, "-m", "faust", "-A", "tests.integration.leader_program", "worker", "--without-web"]
        with (self.directory / "workers.txt").open("ab") as output:
            worker = subprocess.Popen(
                [*command, "-l", "info"],
                cwd=ROOT,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.workers.append(worker)
        return worker

    def notes(self) -> list[Note]:
        found = [line.split() for line in self.journal.read_text().splitlines(keepends=True) if line.endswith("\n")]
        return [Note(float(at), int(pid), int(epoch), work, what) for at, pid, epoch, work, what in found]

    async def until(self, condition: Callable[[], object], what: str) -> None:
        async with asyncio.timeout(WAIT_S):
            while not condition():
                dead = [worker for worker in self.workers if worker.poll() is not None]
                assert not dead, (what, (self.directory / "workers.txt").read_text()[-3_000:])
                await asyncio.sleep(0.05)

    async def until_leader(self, *, other_than: int = 0) -> subprocess.Popen[bytes]:
        """Wait until all kinds of work are done by one worker, which is not this one, and return it."""

        def leader() -> int:
            notes = self.notes()
            pid = notes[-1].pid if notes else other_than
            mine = [note for note in notes if note.pid == pid]
            ended = {note.work for note in mine if note.what == "end"}
            running = {note.work for note in mine if note.what == "beat"} >= set(WORKS)
            return pid if pid != other_than and running and {"timer", "crontab"} <= ended else 0

        await self.until(leader, f"a leader other than {other_than}")
        pid = self.notes()[-1].pid
        return next(worker for worker in self.workers if worker.pid == pid)

    def end(self, worker: subprocess.Popen[bytes], signum: int) -> None:
        self.workers.remove(worker)
        worker.send_signal(signum)
        worker.wait(timeout=WAIT_S)

    def close(self) -> None:
        for worker in list(self.workers):
            worker.send_signal(signal.SIGCONT)
            self.end(worker, signal.SIGKILL)


@pytest.fixture
async def crew(broker_url: str, tmp_path: Path) -> AsyncIterator[Crew]:
    """Give three workers, one of which leads."""
    crew = Crew(broker_url, tmp_path)
    try:
        for _ in range(3):
            crew.start()
        yield crew
    finally:
        crew.close()


def check_one_at_a_time(notes: list[Note], *, gone: int = 0, suspended: tuple[int, int] = (0, 0)) -> None:
    """Check that work of a kind begins only where none is under way, and under an epoch above those of other leaders.

    gone: a worker that was killed, so that it ends nothing. suspended: one that was suspended, and before which
    note; it may end what it was at when it wakes up.
    """
    under_way: dict[str, int] = {}
    epochs: dict[int, int] = {}
    for number, note in enumerate(notes):
        if note.what == "begin":
            other = under_way.get(note.work, 0)
            assert other in (0, gone) or (number >= suspended[1] and other == suspended[0]), (
                f"{note} while {other} is at it"
            )
            assert note.epoch > max((epoch for pid, epoch in epochs.items() if pid != note.pid), default=0), note
            epochs[note.pid] = note.epoch
            under_way[note.work] = note.pid
        elif note.what == "end" and under_way.get(note.work) == note.pid:
            del under_way[note.work]


async def test_a_leader_that_stops_ends_its_work_before_the_next_one_begins(crew: Crew) -> None:
    first = await crew.until_leader()
    crew.end(first, signal.SIGINT)
    second = await crew.until_leader(other_than=first.pid)
    notes = crew.notes()
    check_one_at_a_time(notes)
    for work in WORKS:
        spells = [note.what for note in notes if note.work == work and note.pid == first.pid]
        assert spells[-1] == "end", f"{work} was not ended in order"
    assert second.pid != first.pid


async def test_a_leader_that_is_killed_is_followed_by_one_other(crew: Crew) -> None:
    first = await crew.until_leader()
    crew.end(first, signal.SIGKILL)
    await crew.until_leader(other_than=first.pid)
    notes = crew.notes()
    check_one_at_a_time(notes, gone=first.pid)
    assert len({note.pid for note in notes}) == 2


async def test_a_leader_that_was_suspended_ends_what_it_was_at_and_begins_nothing_beside_another(
    crew: Crew,
) -> None:
    first = await crew.until_leader()
    first.send_signal(signal.SIGSTOP)
    stopped = len(crew.notes())
    await crew.until_leader(other_than=first.pid)
    assert first.pid not in {note.pid for note in crew.notes()[stopped:]}
    first.send_signal(signal.SIGCONT)

    def over() -> bool:
        """Whether all that it had begun before has come to an end."""
        mine = [note for note in crew.notes() if note.pid == first.pid]
        begun = [note for note in mine if note.what == "begin" and note in crew.notes()[:stopped]]
        return sum(note.what == "end" for note in mine) >= len(begun)

    await crew.until(over, "the suspended leader to end its work")
    count = len(crew.notes())
    await crew.until(lambda: len(crew.notes()) > count + 200, "the leader to go on")
    check_one_at_a_time(crew.notes(), suspended=(first.pid, stopped))
