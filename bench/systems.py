"""The systems that the benchmark compares, and how each is started and read."""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from bench import kafka_streams as rival
from bench.w1 import ALERT_ABOVE, Totals
from pelton.testing.broker.jvm import KAFKA_VERSION

__all__ = ["FAUST_VERSION", "LogKind", "System", "kafka_streams", "pelton", "stock_faust"]

LogKind = Literal["sqlite", "kafka"]
FAUST_VERSION = "0.15.3"


@dataclass(frozen=True, slots=True)
class System:
    """One system on one log.

    command: starts a worker of the program for W1.
    guarantee: the processing guarantee that it runs with.
    totals: decodes a value of its changelog. environment: what its worker needs beside what all get.
    """

    name: str
    log: LogKind
    command: Sequence[str]
    guarantee: str
    totals: Callable[[bytes], Totals]
    environment: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def label(self) -> str:
        """How the system is called in tables and progress."""
        return f"{self.name} on {self.log}"


def pelton(log: LogKind, profiles: Path | None = None, processes: int = 1) -> System:
    """Return pelton, in the harness' own environment.

    processes: how many a worker has.
    profiles: a directory for cProfile's data of its workers, pelton-<log>.prof, or None to run it unprofiled.
    """
    under: list[str] = []
    if profiles is not None:
        profiles.mkdir(parents=True, exist_ok=True)
        under = ["-m", "cProfile", "-o", str(profiles.resolve() / f"pelton-{log}.prof")]
    command = _worker_command([sys.executable, *under], "bench.pelton_w1")
    name = "pelton"
    if processes > 1:
        command += ["--processes", str(processes)]
        name = f"pelton --processes {processes}"
    return System(name, log, command, "exactly_once", _totals_of_object)


def stock_faust(python: Path) -> System:
    """Return stock Faust on Kafka, run by the interpreter of its own environment."""
    command = _worker_command([str(python)], "bench.faust_w1")
    return System(f"faust-streaming {FAUST_VERSION}", "kafka", command, "at_least_once", _totals_of_list)


def kafka_streams(jars: Path, guarantee: str, progress: Callable[[str], None]) -> System:
    """Return Kafka Streams with one of its guarantees: at_least_once or exactly_once_v2."""
    environment = {"W1_GUARANTEE": guarantee, "ALERT_ABOVE": repr(ALERT_ABOVE)}
    name = f"Kafka Streams {KAFKA_VERSION} {guarantee}"
    return System(name, "kafka", rival.command(jars, progress), guarantee, _totals_of_bytes, environment)


def _worker_command(python: list[str], module: str) -> list[str]:
    faust = ["-m", "faust", "--loop", "uvloop", "-A", module]
    return [*python, *faust, "worker", "--without-web", "--loglevel", "warn"]


def _totals_of_object(value: bytes) -> Totals:
    window = json.loads(value)
    return Totals(window["count"], window["sum"])


def _totals_of_bytes(value: bytes) -> Totals:
    return Totals(*struct.unpack(">qd", value))


def _totals_of_list(value: bytes) -> Totals:
    count, total = json.loads(value)
    return Totals(count, total)
