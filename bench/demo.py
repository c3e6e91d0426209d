"""`python -m bench.demo`: whether `make demo` stays healthy for an hour, with bounded memory and disk.

It starts `make demo` as a user would, and looks at it from outside every 15 s: what its probes and Home say, the
resident memory of all its processes, the bytes of its directory. Bounded is what hardly grows any more: the mean of the
last quarter of the run against that of the second. What is kept for ever grows, as it is meant to: it is told, and left
out of the judgement. Health is judged from where what gathered during the start is worked off. The last line of output
is a JSON object; the exit status is 1 where it was not healthy throughout, or not bounded.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import psutil

from bench import machine, report
from bench.progress import Progress
from pelton.log.sqlite.database import WAL_BYTES_MAX

__all__ = ["Sample", "Verdict", "figure", "judge"]

PROJECT = Path(__file__).parent.parent
MIB = 1024**2
#: Where in the data directory versions of training data are, which are kept for ever.
TRAINING = ("hub", "training")
LOG_FILES = {"log.sqlite": "log", "log.sqlite-wal": "wal", "log.sqlite-shm": "wal"}
#: How long the worker may take until it is ready, and all processes until they have ended.
READY_S, STOP_S = 300.0, 30.0
#: From a start on, what gathered meanwhile is worked off first: until nothing that waits is older than that. Sinks hold
#: records back for a while, to write many at once.
CAUGHT_UP_S = 30.0
ANSWER_S = 14.0
#: What may grow in an hour: a share of what there is, or so many MiB where there is little.
GROWTH_SHARE_MAX, GROWTH_MIB_MAX = 0.10, 24.0
#: Home may say "degraded" in so many of 100 looks: on a machine that others use too, an agent waits for its turn.
DEGRADED_SHARE_MAX = 0.05


@dataclass(frozen=True, slots=True)
class Sample:
    """One look. at_s: seconds since the first. level: what Home says; "silent" when it did not answer.

    rss_mib: of each kind of process; log_mib: the log's file, with what lies free in it; wal_mib: the write-ahead log
    beside it; state_mib: tables; other_mib: what connectors read and write. kept_mib: what of all this is kept for
    ever: versions of training data, and topics at their share of the file; free_mib: the log's free pages.
    """

    at_s: float
    live: bool
    ready: bool
    level: str
    reasons: list[str]
    lag: int
    lag_s: float
    rate: float
    dead_lettered: int
    rss_mib: dict[str, float]
    log_mib: float
    state_mib: float
    other_mib: float
    wal_mib: float = 0.0
    kept_mib: float = 0.0
    free_mib: float = 0.0
    topics_mib: dict[str, float] = field(default_factory=dict[str, float])

    @property
    def well(self) -> bool:
        """Whether all is well, and what came in meanwhile is worked off."""
        return self.ready and self.level == "ok" and self.lag_s < CAUGHT_UP_S

    @property
    def memory_mib(self) -> float:
        """All processes together."""
        return sum(self.rss_mib.values())

    @property
    def disk_mib(self) -> float:
        """All that lies in the directory, but for what is to be kept for ever.

        The log's write-ahead log counts as what it may take, from the start on: how soon it has taken that is chance.
        """
        wal_mib = max(self.wal_mib, WAL_BYTES_MAX / MIB)
        return self.log_mib + wal_mib + self.state_mib + self.other_mib - self.kept_mib


@dataclass(frozen=True, slots=True)
class Growth:
    """How a measure went: its means over the second and the last quarter, and what that makes in an hour, in MiB."""

    name: str
    second_mib: float
    last_mib: float
    per_hour_mib: float
    bounded: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the run showed. faults: why it was not healthy throughout."""

    memory: Growth
    disk: Growth
    kept: Growth
    faults: list[str]

    @property
    def passed(self) -> bool:
        """Whether it was healthy throughout, and memory and disk were bounded."""
        return not self.faults and self.memory.bounded and self.disk.bounded


def judge(samples: Sequence[Sample]) -> Verdict:
    """Return what samples show. Raises: ValueError when there are fewer than eight."""
    if len(samples) < 8:
        raise ValueError(f"{len(samples)} samples, expected eight or more: a longer run is needed")
    return Verdict(
        _growth("memory", samples, [one.memory_mib for one in samples]),
        _growth("disk", samples, [one.disk_mib for one in samples]),
        _growth("kept for ever", samples, [one.kept_mib for one in samples]),
        list(_faults(caught_up(samples))),
    )


def _growth(name: str, samples: Sequence[Sample], values: Sequence[float]) -> Growth:
    end = samples[-1].at_s
    quarters = [
        [value for one, value in zip(samples, values, strict=True) if first * end <= one.at_s <= last * end]
        for first, last in ((0.25, 0.5), (0.75, 1.0))
    ]
    second, last = (sum(quarter) / len(quarter) for quarter in quarters)
    per_hour = (last - second) / (0.5 * end) * 3600
    return Growth(name, second, last, per_hour, per_hour <= max(GROWTH_MIB_MAX, GROWTH_SHARE_MAX * second))


def caught_up(samples: Sequence[Sample]) -> list[Sample]:
    """Return the samples from where all was well four times in a row, and what had gathered was worked off.

    The first look proves nothing: it takes a while until anything can be seen to stand still.
    """
    rows = (number for number in range(len(samples) - 3) if all(one.well for one in samples[number : number + 4]))
    return list(samples[next(rows, len(samples)) :])


def _faults(samples: Sequence[Sample]) -> Iterator[str]:
    if not samples:
        yield "it was never well"
        return
    for name, bad in (
        ("not alive (/livez)", [one for one in samples if not one.live]),
        ("not ready (/readyz)", [one for one in samples if not one.ready]),
        ("without an answer of Home", [one for one in samples if one.level == "silent"]),
        ("bad", [one for one in samples if one.level == "bad"]),
    ):
        if bad:
            yield f"{name} at {len(bad)} of {len(samples)} looks, first after {bad[0].at_s:,.0f} s: {bad[0].reasons}"
    degraded = [one for one in samples if one.level == "degraded"]
    if len(degraded) > DEGRADED_SHARE_MAX * len(samples):
        yield f"degraded at {len(degraded)} of {len(samples)} looks, last: {degraded[-1].reasons}"
    if samples[-1].dead_lettered:
        yield f"{samples[-1].dead_lettered} dead letters"


class Demo:
    """`make demo`, started and looked at from outside; to be used in a with statement."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.data = directory / "data"
        self.port = _free_port()

    def __enter__(self) -> Demo:
        environment = os.environ | {"APP_DATADIR": str(self.data), "WEB_PORT": str(self.port)}
        with (self.directory / "output.txt").open("wb") as output:
            self._process = psutil.Popen(
                ["make", "demo"],
                cwd=PROJECT,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self

    def __exit__(self, *raised: object) -> None:
        """Press Ctrl-C, and kill what has not ended in time."""
        left = self._processes()
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGINT)
        _, alive = psutil.wait_procs(left, timeout=STOP_S)
        for process in alive:
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def ended(self) -> bool:
        """Whether it has ended by itself."""
        return self._process.poll() is not None

    def tail(self) -> str:
        """Return the end of its output."""
        return "\n".join((self.directory / "output.txt").read_text(errors="replace").splitlines()[-25:])

    def answers(self, path: str) -> bool:
        """Whether a probe answers that all is well."""
        with suppress(urllib.error.URLError, TimeoutError, OSError):
            self._get(path)
            return True
        return False

    def look(self, at_s: float) -> Sample:
        """Return how it does."""
        home: dict[str, Any] = {}
        with suppress(urllib.error.URLError, TimeoutError, OSError):
            home = json.loads(self._get("/api/console/home"))
        health = home.get("health", {"level": "silent", "reasons": []})
        topics, kept, free = self._log()
        sizes = self._sizes()
        return Sample(
            at_s=round(at_s, 1),
            live=self.answers("/livez"),
            ready=self.answers("/readyz"),
            level=health["level"],
            reasons=[reason for _, reason in health["reasons"]],
            lag=home.get("lag", 0),
            lag_s=home.get("lag_s", 0.0),
            rate=home.get("rate", 0.0),
            dead_lettered=home.get("dead_lettered", 0),
            rss_mib=self._memory(),
            log_mib=sizes["log"] / MIB,
            wal_mib=sizes["wal"] / MIB,
            state_mib=sizes["state"] / MIB,
            other_mib=(sizes["other"] + sizes["training"]) / MIB,
            kept_mib=kept + sizes["training"] / MIB,
            free_mib=free,
            topics_mib=topics,
        )

    def _get(self, path: str) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=ANSWER_S) as response:
            return bytes(response.read())

    def _processes(self) -> list[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            return [self._process, *self._process.children(recursive=True)]
        return []

    def _memory(self) -> dict[str, float]:
        found: Counter[str] = Counter()
        for process in self._processes():
            with suppress(psutil.NoSuchProcess):
                found[_kind(process.cmdline())] += process.memory_info().rss
        return {kind: nbytes / MIB for kind, nbytes in found.items()}

    def _sizes(self) -> Counter[str]:
        """Return the bytes on disk of the log, of state, and of the rest. Files come and go meanwhile."""
        sizes: Counter[str] = Counter()
        for directory, _, names in os.walk(self.data):
            within = Path(directory).relative_to(self.data).parts
            for name in names:
                with suppress(FileNotFoundError):
                    status = (Path(directory) / name).lstat()
                    sizes[_of(within, name)] += status.st_blocks * 512
        return sizes

    def _log(self) -> tuple[dict[str, float], float, float]:
        """Return the MiB of each topic, of those that are kept for ever, and of free pages."""
        file = self.data / "log.sqlite"
        if not file.exists():
            return {}, 0.0, 0.0
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=ANSWER_S)) as log:
            rows = log.execute(
                "SELECT t.name, t.retention_ms < 0 AND t.cleanup_policy = 'delete', b.nbytes FROM topics t JOIN"
                " (SELECT topic, sum(nbytes) AS nbytes FROM batches GROUP BY topic) b ON b.topic = t.id"
            ).fetchall()
            page = log.execute("PRAGMA page_size").fetchone()[0] / MIB
            pages, free = (log.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count"))
        kept = sum(nbytes for _, for_ever, nbytes in rows if for_ever) / max(1, sum(nbytes for _, _, nbytes in rows))
        return {name: nbytes / MIB for name, _, nbytes in rows}, kept * (pages - free) * page, free * page


def _of(within: tuple[str, ...], name: str) -> str:
    """Return what a file belongs to. within: the directories that it is in."""
    if "tables" in within:
        return "state"
    if within[: len(TRAINING)] == TRAINING:
        return "training"
    return "other" if within else LOG_FILES.get(name, "other")


def _kind(command: Sequence[str]) -> str:
    """Return what a process is: the program of a worker, the name of a simulator, or "" for what starts them."""
    if "-A" not in command:
        return "make demo"
    program, verb = command[command.index("-A") + 1 :][:2]
    return program if verb == "worker" else verb


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def measure(directory: Path, progress: Progress, *, seconds: float, every_s: float) -> list[Sample]:
    """Run `make demo` for so long, and look at it now and then; each look becomes a line of samples.jsonl.

    Raises: RuntimeError when it ends, or is not ready in time.
    """
    with Demo(directory) as demo, (directory / "samples.jsonl").open("w") as file:
        started = time.monotonic()
        while not demo.answers("/readyz"):
            if demo.ended() or time.monotonic() - started > READY_S:
                raise RuntimeError(f"not ready after {time.monotonic() - started:.0f} s\n{demo.tail()}")
            time.sleep(1)
        progress.step(f"ready after {time.monotonic() - started:.0f} s")
        samples: list[Sample] = []
        started = time.monotonic()
        while not samples or samples[-1].at_s < seconds:
            samples.append(one := demo.look(time.monotonic() - started))
            file.write(json.dumps(asdict(one)) + "\n")
            file.flush()
            progress.tick(
                f"{one.at_s / 60:.1f} min: {one.level} {'; '.join(one.reasons)[:200]} "
                f"memory {one.memory_mib:,.0f} MiB, "
                f"log {one.log_mib:,.0f} (free {one.free_mib:,.0f}, for ever {one.kept_mib:,.1f}), "
                f"write-ahead log {one.wal_mib:,.0f}, state "
                f"{one.state_mib:,.0f}, other {one.other_mib:,.0f}, lag {one.lag:,} ({one.lag_s:.1f} s), "
                f"{one.rate:,.0f}/s, {one.dead_lettered} dead letters"
            )
            if demo.ended():
                raise RuntimeError(f"it ended after {one.at_s:,.0f} s\n{demo.tail()}")
            time.sleep(max(0.0, len(samples) * every_s - (time.monotonic() - started)))
    return samples


def figure(samples: Sequence[Sample]) -> str:
    """Return the run as an SVG: memory, and disk, over time."""
    end = samples[-1].at_s
    memory = _panel(0, "MiB resident, all processes", end, [("", "#0b6", [(s.at_s, s.memory_mib) for s in samples])])
    disk = _panel(
        210,
        "MiB on disk",
        end,
        [
            ("log", "#07c", [(s.at_s, s.log_mib) for s in samples]),
            ("its WAL", "#3ad", [(s.at_s, s.wal_mib) for s in samples]),
            ("state", "#c60", [(s.at_s, s.state_mib) for s in samples]),
            ("other", "#888", [(s.at_s, s.other_mib) for s in samples]),
        ],
    )
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 420" font-family="sans-serif" font-size="12">'
        f'<rect width="720" height="420" fill="#fff"/>{memory}{disk}</svg>\n'
    )


def _panel(top: int, title: str, end: float, lines: list[tuple[str, str, list[tuple[float, float]]]]) -> str:
    left, right, above, height = 56, 650, top + 24, 150
    most = max(value for _, _, points in lines for _, value in points) * 1.1 or 1.0

    def at(second: float, value: float) -> str:
        return f"{left + (right - left) * second / end:.1f},{above + height * (1 - value / most):.1f}"

    parts = [f'<text x="4" y="{top + 14}">{title}</text>']
    for share in (0.25, 0.5, 0.75):
        y = above + height * (1 - share)
        parts.append(f'<line x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{most * share:,.0f}</text>')
    base = above + height
    parts.append(f'<line x1="{left}" x2="{right}" y1="{base}" y2="{base}" stroke="#333"/>')
    for name, colour, points in lines:
        drawn = " ".join(at(*point) for point in points)
        _, y = at(*points[-1]).split(",")
        parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{drawn}"/>')
        parts.append(f'<text x="{right + 6}" y="{float(y) + 4:.1f}" fill="{colour}">{name}</text>')
    parts.append(f'<text x="{left}" y="{base + 16}">0</text>')
    parts.append(f'<text x="{right}" y="{base + 16}" text-anchor="end">{end / 60:.0f} minutes</text>')
    return "".join(parts)


def text_of(samples: Sequence[Sample], verdict: Verdict) -> str:
    """Return what was measured, in Markdown."""
    judged = caught_up(samples)
    levels = Counter(one.level for one in judged)
    rows = [
        f"| {one.name} | {one.second_mib:,.0f} | {one.last_mib:,.0f} | {one.per_hour_mib:+,.1f} |"
        for one in (
            verdict.memory,
            verdict.disk,
            *(
                _growth(name, samples, [getattr(sample, f"{name}_mib") for sample in samples])
                for name in ("log", "wal", "state", "other")
            ),
            verdict.kept,
        )
    ]
    lags = sorted(one.lag_s for one in judged) or [0.0]
    return "\n".join(
        [
            f"{machine.describe()}.",
            "",
            f"{samples[-1].at_s / 60:.0f} minutes from when it was ready, well and caught up after "
            f"{judged[0].at_s if judged else samples[-1].at_s:.0f} s. In {len(judged)} looks from there on, Home said "
            + ", ".join(f"{level} {count} times" for level, count in levels.most_common())
            + f"; alive {sum(one.live for one in judged)} times, ready {sum(one.ready for one in judged)} times. "
            f"{sum(one.rate for one in samples) / len(samples):,.0f} events a second; the oldest unread record was "
            f"{lags[len(lags) // 2]:.1f} s old in the middle, {lags[-1]:.1f} s at most; "
            f"{samples[-1].dead_lettered} dead letters.",
            "",
            "| MiB | second quarter | last quarter | growth per hour |",
            "|---|---|---|---|",
            *rows,
            "",
            "![Memory and disk over the run](images/demo.svg)",
        ]
    )


def options() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.demo", description="Whether `make demo` stays healthy")
    parser.add_argument("--seconds", type=float, default=3600, help="for how long (default: %(default)s)")
    parser.add_argument("--every", type=float, default=15, help="seconds between two looks (default: %(default)s)")
    parser.add_argument("--directory", type=Path, help="where it works, and what stays there (default: one that goes)")
    parser.add_argument("--samples", type=Path, help="judge a run's samples.jsonl again, and run nothing")
    parser.add_argument("--docs", action="store_true", help="write the figures into docs/operations.md")
    return parser.parse_args()


def main() -> int:
    """Run, print, and write the page if asked to."""
    choice = options()
    if choice.samples is not None:
        lines = choice.samples.read_text().splitlines()
        return told(choice, [msgspec.json.decode(line, type=Sample) for line in lines])
    directory = choice.directory or Path(tempfile.mkdtemp(prefix="pelton-demo-"))
    directory.mkdir(parents=True, exist_ok=True)
    # Also where a shell has it in the background, and would have it ignore Ctrl-C.
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.default_int_handler)
    try:
        samples = measure(directory.absolute(), Progress(), seconds=choice.seconds, every_s=choice.every)
    finally:
        if choice.directory is None:
            shutil.rmtree(directory, ignore_errors=True)
    return told(choice, samples)


def told(choice: argparse.Namespace, samples: Sequence[Sample]) -> int:
    """Print what samples show, and write the page if asked to; return the exit status."""
    verdict = judge(samples)
    print(text_of(samples, verdict))
    for fault in verdict.faults:
        print(f"not healthy throughout: {fault}")
    if choice.docs:
        (PROJECT / "docs" / "images" / "demo.svg").write_text(figure(samples))
        marks = ("<!-- demo -->", "<!-- /demo -->")
        report.insert_figures(text_of(samples, verdict), PROJECT / "docs" / "operations.md", marks)
    print(json.dumps({"passed": verdict.passed, **asdict(verdict)}))
    return 0 if verdict.passed else 1


if __name__ == "__main__":
    sys.exit(main())
