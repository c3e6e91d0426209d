"""A deployment on one machine, small: it comes up, says where everything is, starts again what dies, ends cleanly."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from shutil import which
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import Request, urlopen

import pytest

from pelton.testing.broker import Cluster, free_ports
from tests.patience import PATIENCE_S

ROOT = Path(__file__).parents[2]
PROGRAM = """
import pelton
app = pelton.App("shop", topic_partitions=2)
orders = app.topic("orders", key_type=str, value_type=int, partitions=2)
totals = app.Table("totals", default=int)

@app.agent(orders)
async def count(stream):
    async for customer, amount in stream.items():
        totals[customer] += amount
"""


def until(output: Path, process: subprocess.Popen[bytes], text: str) -> str:
    """Wait until the supervisor has said something; return all that it said."""
    deadline = time.monotonic() + 2 * PATIENCE_S
    while text not in (said := output.read_text()):
        assert process.poll() is None, said
        assert time.monotonic() < deadline, said
        time.sleep(0.1)
    return said


def test_a_deployment_comes_up_mends_itself_and_ends_cleanly(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(PROGRAM)
    place, output = tmp_path / "place", tmp_path / "said.txt"
    first, prometheus = free_ports(2)
    command = [sys.executable, "-m", "pelton.testing.deployment", "-A", "shop", "--brokers", "1", "--workers", "1"]
    command += ["--port", "0", "--web-port", str(first), "--prometheus-port", str(prometheus)]
    command += ["--settings", str(ROOT / "deploy" / "cluster.env"), "--monitoring", str(ROOT / "deploy" / "monitoring")]
    command += ["--directory", str(place)]
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    with output.open("wb") as file:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=file, stderr=file)
    try:
        said = until(output, process, "Ctrl-C ends")
        assert f"worker-0  http://127.0.0.1:{first}/" in said
        with urlopen(f"http://127.0.0.1:{first}/readyz", timeout=10) as answer:
            assert answer.status == 200
        assert f"token     in {place}/web-token" in said
        token = (place / "web-token").read_text()
        page = f"http://127.0.0.1:{first}/api/tables"
        with pytest.raises(HTTPError, match="401"):
            urlopen(page, timeout=10)
        with urlopen(Request(page, headers={"Authorization": f"Bearer {token}"}), timeout=10) as answer:
            assert [table["name"] for table in json.load(answer)["tables"]] == ["totals"]
        if which("prometheus") is not None:
            until_scraped(prometheus)
        log = (place / "worker-0.log").read_text()
        assert '"level"' in log, "the settings of the file are in force: JSON lines"
        os.kill(worker_of(process.pid), signal.SIGKILL)
        until(output, process, "worker-0: ended with -9, it is started again\nworker-0: ready")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=2 * PATIENCE_S) == 0, output.read_text()
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=2 * PATIENCE_S)
    said = output.read_text()
    assert "worker-0: ended with 0, all that was complete is committed" in said
    assert "everything has ended" in said
    assert Cluster(1, place / "kafka", 0).running() == {}


def until_scraped(port: int) -> None:
    """Wait until Prometheus, which needs the token for it, has had an answer from the worker."""
    query = f"http://127.0.0.1:{port}/api/v1/query?query=" + quote('up{job="pelton"} == 1')
    deadline = time.monotonic() + PATIENCE_S
    while True:
        with suppress(URLError), urlopen(query, timeout=10) as answer:
            if json.load(answer)["data"]["result"]:
                return
        assert time.monotonic() < deadline
        time.sleep(0.2)


def worker_of(supervisor: int) -> int:
    """Return the process of the worker, among the children of its supervisor."""
    for child in Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split():
        if b"faust" in Path(f"/proc/{child}/cmdline").read_bytes():
            return int(child)
    raise AssertionError("no worker runs")
