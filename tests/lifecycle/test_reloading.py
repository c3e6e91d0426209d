"""`faust worker --reload`: the worker starts anew when its files change, keeps its state, and errors are waited out."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest

from pelton.testing.broker import free_ports
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.timeout(600)

WAIT_S = PATIENCE_S
PROGRAM = """
import pelton

from shop import version

app = pelton.App("APP", topic_partitions=1)
orders = app.topic("APP-orders", key_type=str, value_type=int, partitions=1)
totals = app.Table("APP-totals", default=int, key_type=str, value_type=int)


@app.agent(orders)
async def add(stream):
    async for number in stream:
        totals["all"] += number
        yield {"version": version.VERSION, "total": totals["all"]}


@app.page("/add")
async def page(view, request):
    return view.json(await add.ask(1, key="k", timeout=20))
"""


class Program:
    """A program in a directory of its own, and the process that reloads it."""

    def __init__(self, directory: Path, broker_url: str) -> None:
        self.directory = directory
        self.output = directory / "output.txt"
        (directory / "shop").mkdir()
        (directory / "shop" / "__init__.py").touch()
        (directory / "shop" / "main.py").write_text(PROGRAM.replace("APP", f"shop-{uuid4().hex[:8]}"))
        (self.port,) = free_ports(1)
        self._environment = os.environ | {
            "BROKER_URL": broker_url,
            "APP_DATADIR": str(directory / "data"),
            "BROKER_SESSION_TIMEOUT": "6",
            "BROKER_HEARTBEAT_INTERVAL": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self.process: subprocess.Popen[bytes] | None = None

    def write(self, content: str) -> None:
        (self.directory / "shop" / "version.py").write_text(content)

    def start(self, *words: str) -> None:
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *words],
                cwd=self.directory,
                env=self._environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def worker(self) -> Sequence[str]:
        return "faust", "-A", "shop.main", "worker", "-l", "info", "--web-port", str(self.port)

    async def until(self, condition: Callable[[Any], object]) -> Any:
        """Wait until the page's answer fulfils a condition, and return it."""
        async with asyncio.timeout(WAIT_S), aiohttp.ClientSession() as session:
            while True:
                assert self.process is not None
                assert self.process.poll() is None, self.output.read_text()
                try:
                    async with session.get(f"http://127.0.0.1:{self.port}/add") as answer:
                        told = await answer.json() if answer.status == 200 else None
                except aiohttp.ClientConnectionError:
                    told = None
                if told is not None and condition(told):
                    return told
                await asyncio.sleep(0.1)

    async def until_says(self, text: str) -> None:
        """Wait until the output has a text."""
        async with asyncio.timeout(WAIT_S):
            while text not in self.output.read_text():  # noqa: ASYNC110 - another process writes it
                await asyncio.sleep(0.05)

    async def stop(self, signum: int) -> int:
        assert self.process is not None
        self.process.send_signal(signum)
        return await asyncio.to_thread(self.process.wait, WAIT_S)

    async def until_gone(self) -> None:
        """Wait until nobody listens at the port."""
        async with asyncio.timeout(WAIT_S):
            while True:
                with socket.socket() as caller:
                    if caller.connect_ex(("127.0.0.1", self.port)):
                        return
                await asyncio.sleep(0.1)


@asynccontextmanager
async def program(directory: Path, broker_url: str) -> AsyncIterator[Program]:
    found = Program(directory, broker_url)
    try:
        yield found
    finally:
        if found.process is not None:
            found.process.kill()
            found.process.wait()
        await found.until_gone()  # a worker ends when the one that started it is gone


async def test_a_change_starts_the_worker_anew_with_its_state(broker_url: str, tmp_path: Path) -> None:
    async with program(tmp_path, broker_url) as shop:
        shop.write("VERSION = 1\n")
        shop.start(*shop.worker(), "--reload")
        before = await shop.until(lambda told: told["version"] == 1)
        shop.write("VERSION = 2\n")
        after = await shop.until(lambda told: told["version"] == 2)
        assert after["total"] > before["total"]
        assert f"changed: {Path('shop', 'version.py')}" in shop.output.read_text()

        shop.write("VERSION = = 3\n")
        await shop.until_says("SyntaxError: invalid syntax")
        kept = await shop.until(lambda told: True)  # the worker goes on as it was
        assert (kept["version"], kept["total"] > after["total"]) == (2, True)

        shop.write("VERSION = 1 / 0\n")
        await shop.until_says("ZeroDivisionError")
        await shop.until_says("it starts anew when a file changes")
        shop.write("VERSION = 4\n")
        mended = await shop.until(lambda told: told["version"] == 4)
        assert mended["total"] > kept["total"]
        assert await shop.stop(signal.SIGINT) == 0


async def test_a_program_that_does_not_compile_at_first_is_waited_for(tmp_path: Path) -> None:
    async with program(tmp_path, f"sqlite:///{tmp_path / 'log.sqlite'}") as shop:
        shop.write("VERSION = = 1\n")
        shop.start("pelton.shell.reloading", "--watch", "shop", "--", sys.executable, "-m", *shop.worker())
        await shop.until_says("SyntaxError: invalid syntax")
        await shop.until_says("it starts anew when a file changes")
        shop.write("VERSION = 2\n")
        assert (await shop.until(lambda told: True))["version"] == 2
        (tmp_path / "shop" / "notes.txt").write_text("no program\n")
        (tmp_path / "shop" / ".hidden").mkdir()
        (tmp_path / "shop" / ".hidden" / "more.py").write_text("no program either\n")
        shop.write("VERSION = 3\n")
        await shop.until(lambda told: told["version"] == 3)
        assert "more.py" not in shop.output.read_text()
        assert await shop.stop(signal.SIGTERM) == 0


async def test_a_worker_does_not_outlive_what_reloads_it(tmp_path: Path) -> None:
    async with program(tmp_path, f"sqlite:///{tmp_path / 'log.sqlite'}") as shop:
        shop.write("VERSION = 1\n")
        shop.start(*shop.worker(), "--reload", "--reload-dir", "shop")
        await shop.until(lambda told: True)
        assert await shop.stop(signal.SIGKILL) == -signal.SIGKILL
        await shop.until_gone()
