"""Loading a library while the event loop goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.loading import load
from tests.patience import PATIENCE_S

PROGRAM = """
import asyncio
import os
from app.loading import load

async def main():
    loading = asyncio.create_task(load("endless"))
    while not os.path.exists("begun"):
        await asyncio.sleep(0.01)
    loading.cancel()

asyncio.run(main())
"""


async def test_a_module_is_loaded_once():
    assert await load("app.loading") is sys.modules["app.loading"]


async def test_what_the_import_raises_is_raised():
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        await load("no_such_module")


def test_a_process_that_ends_does_not_wait_for_it(tmp_path: Path):
    (tmp_path / "endless.py").write_text(
        "import time, pathlib\npathlib.Path('begun').touch()\nwhile True: time.sleep(1)\n"
    )
    path = os.pathsep.join([str(Path(__file__).parents[2]), str(tmp_path)])
    environment = {**os.environ, "PYTHONPATH": path}
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, cwd=tmp_path, env=environment, timeout=PATIENCE_S)
