"""The API against its own OpenAPI document: a schema-driven fuzzer asks a real worker."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lifecycle.worker_processes import WAIT_S, opened

pytestmark = pytest.mark.timeout(600)

PARTITIONS = 4
#: What a page takes from `prefix` or `at` hangs on the table, which a schema cannot say: good data may be refused.
LEFT_OUT = "positive_data_acceptance"
#: It never ends.
ENDLESS = "/api/topics/{name}/tail"


@pytest.mark.parametrize("token", ["", "a-secret-of-the-tests-0123456789"], ids=["read-only", "changing"])
async def test_every_answer_is_as_the_document_says(tmp_path: Path, token: str) -> None:
    broker = f"sqlite:///{tmp_path / 'log.sqlite'}?synchronous=off"
    async with opened(broker, tmp_path, "tests.lifecycle.querying_program", "QUERYING", token) as scene:
        worker = scene.start()
        keys = ["alice", "bob", "a/b", "%2F", "ü", '"', "<b>", "..", " ", "0"]
        await scene.append(
            "payments", PARTITIONS, *((key, {"amount": 1, "at": 1_750_000_000.0 + n}) for n, key in enumerate(keys))
        )
        await worker.until(
            "api/tables/balances", lambda status, answer: status == 200 and len(answer["rows"]) == len(keys)
        )
        document = f"http://127.0.0.1:{worker.port}/api/openapi.json"
        words = ["run", document, "--max-examples", "40", "--phases", "examples,coverage,fuzzing", "--seed", "7"]
        options = [
            "--exclude-checks",
            LEFT_OUT,
            "--exclude-path",
            ENDLESS,
            "--generation-database",
            "none",
            "--warnings",
            "off",
            "--no-color",
            *(word for name, value in scene.headers.items() for word in ("--header", f"{name}: {value}")),
        ]
        done = await asyncio.to_thread(
            subprocess.run,
            [str(Path(sys.executable).parent / "st"), *words, *options],
            cwd=tmp_path,
            capture_output=True,
            timeout=4 * WAIT_S,
            check=False,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
