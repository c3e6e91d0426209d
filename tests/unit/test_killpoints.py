"""Kill points cost nothing unless they are armed, and name themselves exactly."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from pelton.errors import ConfigurationError
from pelton.killpoints import STEPS, VARIABLE, KillPoint, armed, step

DYING = """
import asyncio
from pelton.killpoints import step

@step("fetch")
async def fetch():
    print("fetches", flush=True)

@step("commit")
def commit():
    print("commits", flush=True)

async def main():
    while True:
        await fetch()
        commit()

try:
    asyncio.run(main())
finally:
    print("cleans up", flush=True)
"""


def nothing() -> None:
    """Do nothing."""


def test_a_step_that_nobody_kills_is_the_function_itself() -> None:
    assert step("commit")(nothing) is nothing
    assert step("commit", KillPoint("fetch", "before", 1))(nothing) is nothing


@pytest.mark.parametrize("written", ["commit", "commit.after", "commit.after:0", "commit.during:1", "lunch.before:1"])
def test_a_point_that_does_not_exist_is_refused(written: str) -> None:
    with pytest.raises(ConfigurationError, match=VARIABLE):
        armed(written)


def test_nothing_is_armed_without_the_variable() -> None:
    assert armed(None) is None
    assert armed("") is None


@pytest.mark.parametrize(
    ("point", "printed"),
    [
        ("fetch.before:1", ""),
        ("fetch.after:2", "fetches commits fetches"),
        ("commit.before:2", "fetches commits fetches"),
        ("commit.after:1", "fetches commits"),
    ],
)
def test_a_process_dies_at_its_point_without_cleaning_up(point: str, printed: str) -> None:
    environment = {VARIABLE: point, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", DYING]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (-signal.SIGKILL, f"killed at {point}\n")
    assert done.stdout.split() == printed.split()


def test_every_step_says_what_it_is() -> None:
    assert all(STEPS.values())
