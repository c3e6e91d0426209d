"""The web server of a real worker: where it listens, whom it answers, and that its token is told to nobody."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pelton.testing.broker import free_ports
from tests.compat.harness import PROGRAMS
from tests.patience import PATIENCE_S

#: A worker starts within seconds, on a busy machine within a minute.
SECRET = "a-secret-of-the-tests-0123456789"


@contextmanager
def worker(directory: Path, output: Path, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run `faust -A word_count worker` with its web server, at DEBUG."""
    words = (sys.executable, "-m", "faust", "-A", "word_count", "--debug", "-l", "debug", "worker")
    with output.open("wb") as file:
        process = subprocess.Popen(
            words,
            cwd=PROGRAMS,
            env=os.environ | {"APP_WEB_ENABLED": "yes"} | variables,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE_S)


def ask(port: int, path: str, token: str | None = None) -> tuple[int, str]:
    """Return status and body; 0 while nobody answers."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.read().decode()
    except OSError:
        return 0, ""


def until_answered(process: subprocess.Popen[bytes], port: int, output: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while ask(port, "/")[0] == 0:
        assert time.monotonic() < deadline, output.read_text()
        with suppress(subprocess.TimeoutExpired):
            raise AssertionError(f"ended with {process.wait(0.1)}: {output.read_text()}")


def test_a_worker_does_not_listen_to_others_without_a_token(directory: Path) -> None:
    output = directory / "output.txt"
    with worker(directory, output, WEB_BIND="0.0.0.0", WEB_PORT=str(free_ports(1)[0])) as process:
        assert process.wait(PATIENCE_S) != 0
    printed = output.read_text()
    assert "may not listen on 0.0.0.0 without a token" in printed
    assert "hint: set PELTON_WEB_TOKEN" in printed


def test_a_worker_with_a_token(directory: Path) -> None:
    output, (port,) = directory / "output.txt", free_ports(1)
    with worker(directory, output, WEB_BIND="0.0.0.0", WEB_PORT=str(port), PELTON_WEB_TOKEN=SECRET) as process:
        until_answered(process, port, output)
        bodies = [
            ask(port, path, token) for path in ("/", "/router/", "/nowhere/") for token in (None, "wrong", SECRET)
        ]
    assert [status for status, _ in bodies] == [401, 401, 200, 401, 401, 200, 401, 401, 404]
    assert SECRET not in output.read_text() + "".join(body for _, body in bodies)


def test_a_worker_without_a_token(directory: Path) -> None:
    output, (port,) = directory / "output.txt", free_ports(1)
    with worker(directory, output, WEB_PORT=str(port)) as process:
        until_answered(process, port, output)
        listening = subprocess.run(("cat", "/proc/net/tcp"), capture_output=True, text=True, check=True).stdout
        assert ask(port, "/")[0] == 200
    assert f"0100007F:{port:04X} 00000000:0000 0A" in listening, "127.0.0.1, in the state LISTEN"
    assert f"00000000:{port:04X}" not in listening
