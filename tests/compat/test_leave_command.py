"""`faust -A app leave`: a worker that kept its place in the group gives it up, by its name."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

from pelton.log.contract import TopicSpec
from tests.contract.log_scene import Scene

PROGRAM = """
import os
import pelton
app = pelton.App(os.environ["NAME"])
"""


def leave(directory: Path, name: str, address: str, *names: str) -> tuple[int, str]:
    """Run the command; return its exit status, and what it says."""
    where = os.environ | {"NAME": name, "BROKER_URL": address, "APP_DATADIR": str(directory)}
    command = [sys.executable, "-m", "pelton.shell.main", "-A", "shop", "leave", *names]
    done = subprocess.run(command, cwd=directory, env=where, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout


async def test_who_has_stopped_for_good_gives_its_place_up(tmp_path: Path, broker_url: str) -> None:
    name = f"shop-{uuid4().hex[:8]}"
    (tmp_path / "shop.py").write_text(PROGRAM)
    async with Scene(broker_url) as scene:
        await scene.log.declare([TopicSpec(f"{name}-orders", 1)])
        member = await scene.member(
            f"{name}-orders",
            group_id=name,
            instance_id="shop-1",
            returns=True,
            session_timeout_ms=10 * 60_000,
            log=await scene.connect(),
        )
        await member.group.leave()
        assert await scene.log.group_members(name), "its place is kept"
        status, said = await asyncio.to_thread(leave, tmp_path, name, broker_url, "shop-1", "shop-2")
        assert (status, said.splitlines()) == (2, ["shop-1: has left", "shop-2: no member has this name"])
        assert not await scene.log.group_members(name)
        await scene.log.delete_topics([f"{name}-orders"])
