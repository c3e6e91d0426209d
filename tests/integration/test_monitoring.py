"""deploy/monitoring with the real Prometheus: it takes the files, and every alert that says so fires.

A worker process that stands still is scraped, and beside it an engine as nobody can bring one about in seconds: its
page is made of the same code, from statistics that are chosen. The alerts are those of the file with all of their times
divided by sixty; at their true times promtool tries them, over made series (alerts_test.yml).
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from pelton.batch import OutgoingBatch
from pelton.log.kafka.log import LogStatistics
from pelton.metrics.exposition import CONTENT_TYPE, Snapshot, exposition
from pelton.metrics.lag import PartitionLag
from pelton.runtime.partition import PartitionStatistics
from pelton.runtime.statistics import RuntimeStatistics
from tests.integration.stuck_scene import ROOT, opened
from tests.metrics_page import documented_labels, documented_name
from tests.patience import PATIENCE_S
from tests.servers import free_port, needed

MONITORING = ROOT / "deploy" / "monitoring"
FASTER = 60

#: A partition that is being restored, one that is slower than what comes in, and a topic that lacks two replicas.
CHOSEN = Snapshot(
    "chosen",
    0,
    RuntimeStatistics(
        0,
        0,
        0,
        0,
        1,
        0,
        0,
        {},
        (PartitionStatistics(7, "restoring", 0, 5, 10, 900.0),),
        (),
        log=LogStatistics(1, 0, 0, 0, 0, {"orders": 2}),
    ),
    lags=(PartitionLag("orders", 4, 5, 9, 4, 1.0, "WARN", 1.0),),
)


def promtool(*words: str) -> None:
    tool = needed("promtool", "prometheus")
    done = subprocess.run([tool, *words], cwd=MONITORING, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_takes_the_files_and_the_alerts_come_in_time() -> None:
    promtool("check", "config", "prometheus.yml")
    promtool("check", "rules", "alerts.yml")
    promtool("test", "rules", "alerts_test.yml")


def quickened(rules: str) -> str:
    """Return the alerts with all of their times divided."""
    faster = re.sub(r"\b(\d+)m\b", lambda match: f"{int(match[1]) * 60 / FASTER:.0f}s", rules)
    limit = r"(pelton_lag_gathered_seconds\) > )(\d+)"
    return re.sub(limit, lambda match: f"{match[1]}{int(match[2]) / FASTER:g}", faster)


class Prometheus:
    """A real one, over targets."""

    def __init__(self, address: str, session: aiohttp.ClientSession) -> None:
        self._address = address
        self._session = session

    async def ask(self, expression: str) -> list[dict[str, Any]]:
        """Return the series of an expression; none while it does not answer."""
        try:
            async with self._session.get(f"{self._address}/api/v1/query", params={"query": expression}) as answer:
                told = await answer.json()
        except (aiohttp.ClientConnectionError, TimeoutError, aiohttp.ContentTypeError):
            return []
        assert told["status"] == "success", (expression, told)
        return list(told["data"]["result"])

    async def until(self, expression: str, condition: Callable[[list[dict[str, Any]]], object]) -> None:
        """Wait until the series of an expression fulfil a condition."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                if condition(await self.ask(expression)):
                    return
                await asyncio.sleep(0.2)


@asynccontextmanager
async def prometheus(directory: Path, *ports: int) -> AsyncGenerator[Prometheus]:
    """Run Prometheus, with the quickened alerts, over pages on these ports."""
    program, port = needed("prometheus", "prometheus"), free_port()
    (directory / "alerts.yml").write_text(quickened((MONITORING / "alerts.yml").read_text()))
    targets = [f"127.0.0.1:{one}" for one in ports]
    scrape = {"job_name": "pelton", "static_configs": [{"targets": targets}]}
    times = {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"}
    config = {"global": times, "rule_files": ["alerts.yml"], "scrape_configs": [scrape]}
    (directory / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
    words = ("--config.file=prometheus.yml", "--storage.tsdb.path=data", f"--web.listen-address=127.0.0.1:{port}")
    with (directory / "prometheus.txt").open("wb") as output:
        process = await asyncio.create_subprocess_exec(program, *words, cwd=directory, stdout=output, stderr=output)
        try:
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
                yield Prometheus(f"http://127.0.0.1:{port}", session)
        finally:
            process.kill()
            await process.wait()


@asynccontextmanager
async def serving(snapshot: Snapshot) -> AsyncGenerator[int]:
    """Serve the page that an engine in this state would have; give the port."""

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=exposition(lambda: snapshot), headers={"Content-Type": CONTENT_TYPE})

    app, port = web.Application(), free_port()
    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield port
    finally:
        await runner.cleanup()


def panel_queries() -> list[str]:
    """Return every query of every dashboard, for the job that is scraped here."""
    boards = [json.loads(file.read_text()) for file in sorted((MONITORING / "dashboards").glob("*.json"))]
    found = [target["expr"] for board in boards for panel in board["panels"] for target in panel["targets"]]
    return [one.replace("$job", "pelton").replace("$__rate_interval", "1m") for one in found]


async def check_labels(one: Prometheus, port: int) -> None:
    """Hold every series of a worker against docs/metrics.md: its name, and its labels."""
    series = await one.ask(f'{{__name__=~"(pelton|kafka)_.+",instance="127.0.0.1:{port}"}}')
    documented = documented_labels()
    for each in series:
        labels = each["metric"].keys() - {"__name__", "instance", "job", "le"}
        assert labels == documented[documented_name(each["metric"]["__name__"])], each
    assert len({each["metric"]["__name__"] for each in series}) > 30


async def test_the_alerts_fire_and_the_dashboards_queries_are_taken(tmp_path: Path) -> None:
    async with opened(f"sqlite:///{tmp_path / 'log.sqlite'}", tmp_path) as scene, serving(CHOSEN) as chosen:
        worker = scene.start()
        await scene.order("one")
        await scene.until_done("one")
        async with prometheus(tmp_path, worker.port, chosen) as one:
            await one.until("pelton_records_dead_lettered_total", lambda series: len(series) == 2)
            await scene.log.append([OutgoingBatch(f"{scene.run}-orders", 0, [None], [b"no JSON"], [0])])
            await scene.order("wait 600", "two")
            expected = {
                "PeltonLagTooOld", "PeltonStalled", "PeltonNoProgress", "PeltonDeadLettersGrow",
                "PeltonRestoreTooLong", "PeltonUnderReplicated", "PeltonFallingBehind",
            }  # fmt: skip
            # What fired once counts: an alert of two samples in fifteen seconds is over when the machine is busy.
            fired = 'max_over_time(ALERTS{alertstate="firing"}[10m])'
            await one.until(fired, lambda series: expected <= {each["metric"]["alertname"] for each in series})
            stalled = await one.ask('max_over_time(ALERTS{alertname="PeltonStalled",alertstate="firing"}[10m])')
            assert [each["metric"]["topic"] for each in stalled] == [f"{scene.run}-orders"]
            await check_labels(one, worker.port)
            for query in panel_queries():
                await one.ask(query)  # which fails for one that Prometheus does not take
