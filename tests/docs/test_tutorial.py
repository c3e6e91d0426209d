"""docs/tutorial.md, step by step, as a newcomer would do it: in a copy of the application."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.patience import PATIENCE_S
from tests.servers import free_port, needed

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "tutorial.md"
_BLOCK = re.compile(r"^```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
#: An import of the whole application and a start of it, on a machine that is busy.
_STEP_S = 3 * PATIENCE_S


class Newcomer:
    """Somebody in a copy of the checkout, who does what the page says."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        of_make = {"MAKEFLAGS", "MFLAGS", "MAKELEVEL"}  # of the make that runs the tests
        given = {name: value for name, value in os.environ.items() if name not in of_make}
        self.environment = given | {"WEB_PORT": str(self.port), "ORDERS": "0"}
        for name in ("app", "src", "requirements"):
            shutil.copytree(ROOT / name, directory / name, ignore=shutil.ignore_patterns("__pycache__"))
        (directory / "tests").mkdir()
        for file in (ROOT / "tests").glob("*.py"):
            shutil.copy2(file, directory / "tests")
        (directory / "tests" / "app").mkdir()
        shutil.copy2(ROOT / "tests" / "app" / "payments.py", directory / "tests" / "app")
        for name in ("Makefile", "pyproject.toml", "README.md", "LICENSE"):
            shutil.copy2(ROOT / name, directory)
        (directory / ".venv").symlink_to(ROOT / ".venv")

    def write(self, text: str) -> None:
        """Write the file whose name is in the first line."""
        path = text.partition("\n")[0].removeprefix("# ")
        (self.directory / path).write_text(text)

    def do(self, text: str) -> str:
        """Run commands, each of which must succeed; return what they print.

        What installs does so in the checkout: the copy has its environment, which is to have nothing of the copy.
        """
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text.replace("6066", str(self.port))],
            cwd=ROOT if text == "make setup\n" else self.directory,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=_STEP_S,
            check=False,
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    @contextmanager
    def running(self, text: str) -> Iterator[None]:
        """Have a command run, and end it with Ctrl-C."""
        with (self.directory / "output").open("w") as output:
            process = subprocess.Popen(
                ["bash", "-c", text],
                cwd=self.directory,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                yield
                assert process.poll() is None, (self.directory / "output").read_text()
            finally:
                if process.poll() is None:  # its workers are in sessions of their own: only it ends them
                    os.killpg(process.pid, signal.SIGINT)
                    process.wait(PATIENCE_S)

    def ask(self, command: str) -> object:
        """Return the first answer that is not empty."""
        deadline = time.monotonic() + _STEP_S
        while True:
            done = subprocess.run(
                command.replace("6066", str(self.port)).split(), capture_output=True, text=True, check=False
            )
            if done.returncode == 0 and (answer := json.loads(done.stdout)):
                return answer
            assert time.monotonic() < deadline, (self.directory / "output").read_text()
            time.sleep(0.2)


@pytest.mark.timeout(900)
def test_every_step_works(tmp_path: Path) -> None:
    needed("curl", "curl")
    blocks = [(block["kind"], block["text"].strip() + "\n") for block in _BLOCK.finditer(PAGE.read_text())]
    running = next(number for number, (_, text) in enumerate(blocks) if "make run" in text)
    before, start, beside, after = blocks[:running], blocks[running][1], blocks[running + 1][1], blocks[running + 2 :]
    newcomer = Newcomer(tmp_path)
    for kind, text in before:
        if kind == "python":
            newcomer.write(text)
        else:
            newcomer.do(text)
    curl, list_agents = beside.splitlines()
    with newcomer.running(start.strip()):
        sums = newcomer.ask(curl)
        assert isinstance(sums, dict)
        assert all(amount > 0 for amount in sums.values())
        assert "app.agents.abroad.abroad" in newcomer.do(list_agents)
    for _, text in after:
        newcomer.do(text)
