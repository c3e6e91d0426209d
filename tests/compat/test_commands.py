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

from tests.compat.harness import PROGRAMS, command, environment, load, until, values, worker


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
    printed = command(directory, "word_count", *words)
    assert all(word in printed for word in expected), printed


def test_models(directory: Path) -> None:
    assert "Withdrawal" in command(directory, "withdrawals", "models")
    printed = command(directory, "withdrawals", "model", "withdrawals.Withdrawal")
    assert "amount" in printed
    assert "float" in printed


def test_a_program_s_own_command(directory: Path) -> None:
    assert "hello from a command" in command(directory, "schedules", "greet")


async def test_send_to_agents_and_topics(directory: Path) -> None:
    printed = command(directory, "hello_world", "send", "@print_greetings", "hi", "--repeat", "2")
    receipts = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    assert [receipt["topic"] for receipt in receipts] == ["greetings", "greetings"]
    command(directory, "hello_world", "send", "greetings", "by topic", "--key", "k")
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
            env=environ | environment(directory),
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )
        yield process
        if process.poll() is None:
            process.kill()
            process.wait()


async def test_a_worker_process(directory: Path, process: subprocess.Popen[str]) -> None:
    output = directory / "worker.txt"
    await until(lambda: "Ready" in output.read_text() or process.poll() is not None, "the worker to be ready")
    command(directory, "word_count", "send", "lines", '"a b a"')
    program = load("word_count")
    await program.app.open_log()
    try:
        assert sorted(await values(program.app, "word-count-word_counts-changelog", 2)) == [1, 2]
    finally:
        await program.app.close_log()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=15) == 0, output.read_text()
    assert "ERROR" not in output.read_text()
