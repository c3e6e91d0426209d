"""Bugs to plant into a copy of the engine, one at a time: each breaks an invariant, and the simulation must find it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "pelton"


@dataclass(frozen=True)
class Bug:
    """What is changed: the invariant that it breaks, the file below src/pelton, and the text for the text there."""

    name: str
    invariant: str
    path: str
    right: str
    wrong: str

    def plant(self, directory: Path) -> None:
        """Make a copy of the engine with this bug."""
        shutil.copytree(SOURCE, directory / "pelton", ignore=shutil.ignore_patterns("__pycache__"))
        file = directory / "pelton" / self.path
        text = file.read_text()
        assert text.count(self.right) == 1, f"{self.name}: {self.path} has changed, and the bug must change with it"
        file.write_text(text.replace(self.right, self.wrong))


BUGS = (
    Bug(
        "writes join the staged ones before their event is complete",
        "I1",
        "stream/lane.py",
        "        self.overlay[key] = value\n",
        "        (self._cache.dirty if self.stage is None else self.stage)[key] = value\n",
    ),
    Bug(
        "messages join the staged ones before their event is complete",
        "I1",
        "stream/lane.py",
        "        self.sends.append(message)\n",
        "        self.outbox.extend([message])\n",
    ),
    Bug(
        "the position passes an event that is being handled",
        "I2",
        "runtime/task.py",
        "        for chunk in reversed(list(self._unfinished())):\n",
        "        for chunk in list(self._pushed):\n",
    ),
    Bug(
        "the position passes a round before its end",
        "I2",
        "runtime/concurrent.py",
        "        return {**self._taken, **self._round_start}\n",
        "        return {**self._taken}\n",
    ),
    Bug(
        "the store takes writes that no commit holds",
        "I3",
        "state/cache.py",
        "        return TableWrites(puts=list(self._in_flight.items()), position=position)\n",
        "        return TableWrites(puts=list((self._in_flight | self.dirty).items()), position=position)\n",
    ),
    Bug(
        "after a commit of unknown outcome the tasks go on",
        "I3",
        "runtime/runtime.py",
        "        await self._assignment.drop(numbers)\n        if self.replicated is not None:\n",
        "        if self.replicated is not None:\n",
    ),
    Bug(
        "a restore does not wait for what is decided and not visible yet",
        "I3",
        "runtime/restore.py",
        "log.offsets(sources.values(), decided=True)",
        "log.offsets(sources.values())",
    ),
    Bug(
        "a warm copy is followed on when its partition has become active",
        "I3",
        "runtime/runtime.py",
        "        await self._standbys.keep(standbys)",
        "        await self._standbys.keep(standbys | self._standbys._copies.keys())",
    ),
    Bug(
        "a store goes on from where it stands, however long ago that was",
        "I3",
        "runtime/facts.py",
        "    if told_ms is None or noted is None:\n",
        "    if True or told_ms is None or noted is None:\n",
    ),
    Bug(
        "partitions that were handed over are kept",
        "I4",
        "runtime/runtime.py",
        "        await self.commit()\n        await self._assignment.drop(numbers)\n",
        "        await self.commit()\n",
    ),
    Bug(
        "events of one key go to different lanes",
        "I5",
        "runtime/concurrent.py",
        "row % len(self.lanes) if key is None else crc32(key) % len(self.lanes)",
        "row % len(self.lanes)",
    ),
    Bug(
        "what cannot be decoded is dropped",
        "I7",
        "runtime/task.py",
        "            self._dead_letter(decoded.batch, row, decoded.rejected[row], 1)\n",
        "            pass\n",
    ),
    Bug(
        "a window is there until a commit has swept it away",
        "I9",
        "stream/lane.py",
        "            if key < cache.horizon:\n                return None\n",
        "",
    ),
    Bug(
        "late writes are taken",
        "I9",
        "state/cache.py",
        "        kept = {key: value for key, value in writes.items() if key >= self.horizon}\n",
        "        kept = dict(writes)\n",
    ),
    Bug(
        "an event that fails leaves its versions in the history",
        "I1",
        "stream/versioned.py",
        '        """Forget the writes of an event that failed."""\n',
        "        for key, value in self.overlay.items():\n"
        "            self.versions.append(key, value, self._times[key])\n",
    ),
    Bug(
        "two events write one key, and neither begins anew",
        "I1",
        "stream/lane.py",
        "        if self.claims.only is not self:\n            self.claim(key)\n",
        "",
    ),
    Bug(
        "an event that was at a key too late is complete all the same",
        "I1",
        "stream/lane.py",
        "        if self.spoiled is not None:\n            raise self.spoiled\n        touched",
        "        self.spoiled = None\n        touched",
    ),
    Bug(
        "a round that is not over keeps nobody from its keys",
        "I1",
        "state/claims.py",
        "            return holder is place.stage  #",
        "            return True  #",
    ),
    Bug(
        "a timer is gone before what it does is complete",
        "I1",
        "stream/timing.py",
        "        self.slot.put(row, None)\n"
        "        if found == row:\n"
        "            self.slot.put(_index(key, name), None)\n"
        "        fired =",
        "        self.slot.record(row, None)\n"
        "        if found == row:\n"
        "            self.slot.record(_index(key, name), None)\n"
        "        fired =",
    ),
    Bug(
        "what calls have completed ahead of the position is not marked as done",
        "I2",
        "stream/calling.py",
        "        if next(iter(self.open)) != call.row:\n            self._put_done(call.row)\n        elif",
        "        if",
    ),
    Bug(
        "a call is made again, though its result is recorded",
        "I3",
        "stream/calling.py",
        "        if stored is not None and stored[:1] == RESULT:\n",
        "        if stored == b'':\n",
    ),
    Bug(
        "calls of one key overtake each other",
        "I5",
        "stream/calling.py",
        "            if len(queue) > 1:\n                return\n",
        "",
    ),
    Bug(
        "timers fire behind the events that make them due",
        "I9",
        "stream/timing.py",
        "            if book.look_ahead(chunk.batch.topic, time_ms):\n",
        "            if cursor == len(chunk.values):\n",
    ),
)


@dataclass(frozen=True)
class Find:
    """How the simulation found a bug: after how many seeds, and what it said; None when it did not."""

    seeds: int
    said: str | None


def hunt(bug: Bug, directory: Path, *, runs: int, seed: int = 1) -> Find:
    """Plant a bug below a directory and simulate until it is found."""
    bug.plant(directory)
    command = ["-m", "pelton.testing.simulation", f"--seed={seed}", f"--runs={runs}", "--jobs=1", "--first"]
    done = subprocess.run(
        [sys.executable, *command],
        env={**os.environ, "PYTHONPATH": str(directory)},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.splitlines()
    assert lines, f"the simulation did not run: {done.stderr[-2_000:]}"
    found = json.loads(lines[-1])
    return Find(found["runs"], lines[-3] if found["failures"] else None)


def main() -> None:
    """Print the table of docs/simulation.md: how many seeds each bug takes."""
    for bug in BUGS:
        with tempfile.TemporaryDirectory() as directory:
            found = hunt(bug, Path(directory), runs=2_000)
        print(
            f"| {bug.invariant} | {bug.name} | {found.seeds if found.said else 'not found'} | {found.said} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
