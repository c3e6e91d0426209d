"""Real log files, shipped by the command, through a worker process, on both logs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.app.bank_process import Bank
from tests.app.test_logformats import DATA, shipped

FILES = ("dpkg.log", "kafka.log", "worker.log")


@pytest.fixture
def bank(broker_url: str, tmp_path: Path) -> Iterator[Bank]:
    with Bank(tmp_path, broker_url) as bank:
        yield bank


def put(file: Path, *, bytes_max: int = 1 << 20) -> str:
    """Write the beginning of a sample, in whole lines, and return the file's name."""
    content = (DATA / file.name).read_bytes()[:bytes_max]
    file.write_bytes(content[: content.rindex(b"\n") + 1])
    return str(file)


async def test_files_are_shipped_once_and_found(bank: Bank, tmp_path: Path) -> None:
    bank.start()
    bank.command("ship", *(put(tmp_path / name, bytes_max=1_500) for name in FILES))
    bank.command("ship", *(put(tmp_path / name) for name in FILES))

    expected = {name.partition(".")[0]: len(shipped(name)) for name in FILES}

    def counted(answer: Any) -> bool:
        lines = {one["service"]: one["lines"] for one in answer["services"]}
        assert all(lines[service] <= expected[service] for service in lines), "some came twice"
        return lines == expected

    await bank.until_answer("/logs/services", counted)
    status, found = await bank.get("/logs?service=kafka&level=error&from=2026-01-01")
    assert status == 200
    assert any("InvalidRecordException" in line["message"] for line in found["lines"])
    status, said = await bank.get("/logs/templates?service=dpkg")
    assert "status installed <*> <*>" in [template["text"] for template in said["templates"]]
