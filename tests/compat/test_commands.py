"""The commands of `faust -A app …`, each as a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from os import environ
from pathlib import Path

import pytest

from tests.compat.harness import PROGRAMS, command, load, until, values, worker
from tests.patience import PATIENCE_S


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["agents"], ["word_count.count_words", "Count each word.", "words"]),
        (["tables"], ["word_counts"]),
        (["clean-versions"], []),
    ],
    ids=lambda words: words[0] if words else "",
)
def test_commands_that_tell_about_the_program(directory: Path, words: list[str], expected: list[str]) -> None:
    printed = command("word_count", *words)
    assert all(word in printed for word in expected), printed


def test_models(directory: Path) -> None:
    assert "Withdrawal" in command("withdrawals", "models")
    printed = command("withdrawals", "model", "withdrawals.Withdrawal")
    assert "amount" in printed
    assert "float" in printed


def test_a_command_that_cannot_work_says_why_and_what_to_do() -> None:
    words = [sys.executable, "-m", "faust", "-A", "withdrawals", "produce"]
    settings = environ | {"BROKER_URL": "kafka://127.0.0.1:1"}
    done = subprocess.run(
        words, cwd=PROGRAMS, env=settings, capture_output=True, timeout=PATIENCE_S, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: could not reach Kafka at 127.0.0.1:1: nothing listens there\nhint: is the")
    assert "Traceback" not in done.stderr


def test_a_program_s_own_command(directory: Path) -> None:
    assert "hello from a command" in command("schedules", "greet")


@pytest.mark.usefixtures("each_log")
async def test_send_to_agents_and_topics(directory: Path) -> None:
    printed = command("hello_world", "send", "@print_greetings", "hi", "--repeat", "2")
    receipts = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    assert [receipt["topic"] for receipt in receipts] == ["greetings", "greetings"]
    command("hello_world", "send", "greetings", "by topic", "--key", "k")
    program = load("hello_world")
    async with worker(program.app):
        await until(lambda: len(program.heard) == 3)


@pytest.fixture
def process(directory: Path) -> Iterator[subprocess.Popen[str]]:
    """Run `faust -A word_count worker`, and end it if the test did not."""
    words = [sys.executable, "-m", "faust", "-A", "word_count", "worker", "--without-web", "-l", "info"]
    with (directory / "worker.txt").open("w") as output:
        process = subprocess.Popen(
            words,
            cwd=PROGRAMS,
            env=environ,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )
        yield process
        if process.poll() is None:
            process.kill()
            process.wait()


@pytest.mark.usefixtures("each_log")
async def test_a_worker_process(directory: Path, process: subprocess.Popen[str]) -> None:
    output = directory / "worker.txt"
    await until(lambda: "Ready" in output.read_text() or process.poll() is not None, "the worker to be ready")
    command("word_count", "send", "lines", '"a b a"')
    program = load("word_count")
    await program.app.open_log()
    try:
        assert sorted(await values(program.app, f"{program.app.conf.id}-word_counts-changelog", 2)) == [1, 2]
    finally:
        await program.app.close_log()
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE_S) == 0, output.read_text()
    assert "ERROR" not in output.read_text()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("rabbitmq://localhost", "unknown broker URL scheme 'rabbitmq'\nhint: use sqlite:///path"),
        (
            "kafka://127.0.0.1:1",
            "could not reach Kafka at 127.0.0.1:1: nothing listens there\nhint: is the broker",
        ),
    ],
)
def test_a_worker_that_cannot_start_says_why_and_what_to_do(directory: Path, url: str, told: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "faust", "-A", "word_count", "worker", "--without-web"],
        cwd=PROGRAMS,
        env=environ | {"BROKER_URL": url},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=PATIENCE_S,
        check=False,
        text=True,
    )
    assert done.returncode == 1
    assert f"the worker cannot start: {told}" in done.stdout
    assert "Traceback" not in done.stdout
