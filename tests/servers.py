"""Real servers for tests: PostgreSQL, Mosquitto and rsyslog, each in a directory of its own and on a port of its own.

With CI=true a server that is not installed fails the test; elsewhere the test is skipped, with a hint.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from pelton.testing.broker import free_ports
from tests.patience import PATIENCE_S

__all__ = ["Mosquitto", "free_port", "mosquitto", "needed", "postgres", "rsyslog"]

_POSTGRES = Path("/usr/lib/postgresql")


def needed(program: str, package: str, *elsewhere: Path) -> str:
    """Return where a program is; without it, the test is skipped, or fails in CI."""
    found = next((str(path) for path in elsewhere if path.exists()), None) or shutil.which(
        program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    )
    if found is not None:
        return found
    text = f"{program} is not installed: apt install {package}"
    if os.environ.get("CI") == "true":
        pytest.fail(text)
    pytest.skip(text)


def free_port() -> int:
    return free_ports(1)[0]


def _until(condition: Callable[[], bool], what: str, output: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited for {what}: {output.read_text()}"
        time.sleep(0.02)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Server:
    """A process that is a server, and can be killed and started again."""

    def __init__(self, command: Sequence[str], directory: Path, port: int, user: str | None = None) -> None:
        self.command = command
        self.directory = directory
        self.port = port
        self.user = user
        self.output = directory / "output.txt"
        self.ready = lambda: _answers(self.port)
        self.process: subprocess.Popen[bytes]

    def start(self) -> None:
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                self.command, cwd=self.directory, stdout=output, stderr=subprocess.STDOUT, user=self.user
            )
        _until(lambda: self.ready() or self.process.poll() is not None, str(self.command[0]), self.output)
        assert self.process.poll() is None, self.output.read_text()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.kill()


@contextmanager
def _directory(user: str | None) -> Iterator[Path]:
    """Give a directory that a user can reach: those of pytest are for who runs the tests alone."""
    directory = Path(tempfile.mkdtemp(prefix="pelton-server-", dir="/tmp"))
    if user is not None:
        shutil.chown(directory, user)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _other_than_root(user: str) -> str | None:
    """Return a user to run a server as that does not run as root; None for the one that we are."""
    if os.geteuid() != 0:
        return None
    try:
        pwd.getpwnam(user)
    except KeyError:
        return "nobody"
    return user


@contextmanager
def postgres(**settings: object) -> Iterator[tuple[str, Server]]:
    """Run a PostgreSQL, with settings of its own beside ours; gives its URL, and the server."""
    homes = sorted(_POSTGRES.glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    initdb = needed("initdb", "postgresql", *(home / "initdb" for home in homes))
    server = needed("postgres", "postgresql", *(home / "postgres" for home in homes))
    user = _other_than_root("postgres")
    with _directory(user) as directory:
        data, port = directory / "data", free_port()
        words = [initdb, "-D", str(data), "-U", "pelton", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C"]
        done = subprocess.run(words, capture_output=True, text=True, cwd=directory, user=user, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        options = ["-p", str(port), "-k", str(directory), "-h", "127.0.0.1", "-c", "fsync=off"]
        options += [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        running = Server([server, "-D", str(data), *options], directory, port, user)
        running.ready = lambda: b"ready to accept connections" in running.output.read_bytes()
        running.start()
        try:
            yield f"postgresql://pelton@127.0.0.1:{port}/postgres", running
        finally:
            running.process.send_signal(2)  # a fast shutdown: SIGTERM waits for its clients
            running.process.wait(PATIENCE_S)


class Mosquitto(Server):
    """An MQTT broker that keeps its sessions on disk."""


@contextmanager
def mosquitto() -> Iterator[Mosquitto]:
    """Run a Mosquitto."""
    program = needed("mosquitto", "mosquitto")
    user = _other_than_root("mosquitto")
    with _directory(user) as directory:
        port = free_port()
        (directory / "mosquitto.conf").write_text(
            f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence true\n"
            f"persistence_location {directory}/\nautosave_interval 1\nautosave_on_changes true\n"
            "max_queued_messages 0\nlog_type subscribe\nlog_type error\nlog_dest stderr\n"
        )
        running = Mosquitto([program, "-c", "mosquitto.conf"], directory, port, user)
        running.start()
        try:
            yield running
        finally:
            running.stop()


@contextmanager
def rsyslog(configuration: str, ready: Callable[[], bool]) -> Iterator[Server]:
    """Run an rsyslogd with a configuration; ready: whether it has come up."""
    program = needed("rsyslogd", "rsyslog")
    with _directory(None) as directory:
        file = directory / "rsyslog.conf"
        file.write_text(f'global(workDirectory="{directory}")\n{configuration}')
        running = Server([program, "-n", "-f", str(file), "-i", str(directory / "pid")], directory, 0)
        running.ready = ready
        running.start()
        try:
            yield running
        finally:
            running.stop()
