"""The pytest plugin: its fixture, and that a run which does not use it pays nothing for it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import pelton
from pelton.testing import Driver
from tests.patience import PATIENCE_S

app = pelton.App("plugged")
words = app.topic("words", value_type=str, partitions=1)
counts = app.Table("counts", default=int, key_type=str, partitions=1)


@app.agent(words)
async def count(stream: pelton.Stream[str]) -> None:
    async for word in stream:
        counts[word] += 1


@pytest.mark.parametrize("turn", [1, 2])
def test_each_test_has_the_application_to_itself(pelton_driver: Callable[..., Driver], turn: int) -> None:
    driver = pelton_driver(app, start=5.0)
    assert driver.now == 5.0
    driver.send("words", value="hello")
    assert dict(driver.table(counts).items()) == {"hello": 1}


async def test_in_an_async_test(pelton_driver: Callable[..., Driver]) -> None:
    driver = pelton_driver(app)
    await driver.send(words, value="hello")
    assert driver.table("counts")["hello"] == 1


def test_the_fixture_closes_what_it_gave(tmp_path: Path) -> None:
    assert not app.started
    with Driver(app):
        pass


def test_loading_it_loads_neither_the_engine_nor_what_it_stands_on() -> None:
    program = """
import sys
import pytest
before = set(sys.modules)
import pelton.testing.plugin
print(*sorted({name.partition(".")[0] for name in set(sys.modules) - before}))
print(*sorted(name for name in sys.modules if name.startswith("pelton")))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE_S, check=True
    )
    libraries, own = done.stdout.splitlines()
    assert set(libraries.split()) == {"pelton"}
    assert set(own.split()) == {"pelton", "pelton.testing", "pelton.testing.plugin"}


def test_the_driver_does_without_the_simulation_and_the_broker() -> None:
    program = "import sys, pelton.testing; pelton.testing.Driver; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE_S, check=True
    )
    assert {name for name in done.stdout.split() if name.startswith("pelton.testing.")} == {
        "pelton.testing.driver",
        "pelton.testing.driver.driver",
        "pelton.testing.driver.log",
        "pelton.testing.driver.loop",
        "pelton.testing.driver.pages",
        "pelton.testing.driver.records",
    }


def test_pytest_knows_the_fixture_without_being_told(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "--fixtures", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert "pelton_driver" in done.stdout
