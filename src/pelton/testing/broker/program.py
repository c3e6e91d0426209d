"""A Java program in the background: started, found again by a file that it keeps locked, waited for, ended with us."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

from pelton.errors import ConfigurationError, UnavailableError
from pelton.testing.broker import tether

__all__ = ["launch", "living", "run", "tail", "wait_until"]

POLL_S = 0.05
LOG_TAIL_LINES = 15

LOG4J = """\
rootLogger.level = INFO
rootLogger.appenderRef.out.ref = OUT
appender.out.type = Console
appender.out.name = OUT
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = [%d] %p %m (%c)%n
"""
#: Has a program read the `LOG4J` that lies in its directory as log4j2.properties.
LOG4J_OPTION = "-Dlog4j2.configurationFile=log4j2.properties"
#: Only the quick compiler: 4.7 s of CPU instead of 9 from start to stop of a broker.
QUICK_START = ("-XX:TieredStopAtLevel=1",)


def run(
    command: Sequence[str],
    directory: Path,
    log: Path,
    *,
    variables: Mapping[str, str] | None = None,
    inherit: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a program in a directory; what it prints is added to the log.

    variables: of its environment, beside ours. inherit: files that it keeps open.
    """
    with log.open("ab") as output:
        # A session of its own, so that Ctrl-C reaches us alone and the programs are stopped in order.
        return subprocess.Popen(  # noqa: S603 - our own java, no shell
            command,
            cwd=directory,
            env=os.environ | dict(variables or {}),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=inherit,
        )


def launch(
    name: str,
    command: Sequence[str],
    directory: Path,
    log: Path,
    pid_file: Path,
    *,
    variables: Mapping[str, str] | None = None,
    lasting: bool = False,
) -> subprocess.Popen[bytes]:
    """Start a program that holds `pid_file` locked as long as it lives, and writes its process id there.

    name: of the program, for errors. lasting: whether it goes on when this process is gone; else it is ended then, also
    behind a SIGKILL. Raises: ConfigurationError when one that holds the file runs already.
    """
    with pid_file.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as held:
            raise ConfigurationError(f"{name} runs already in {directory}") from held
        # It inherits the locked file, which is unlocked when the last process that has it open is gone.
        files = [lock.fileno()]
        if not lasting:
            lifeline = _lifeline()
            command = [sys.executable, "-I", "-S", tether.__file__, str(lifeline), str(lock.fileno()), *command]
            files.append(lifeline)
        process = run(command, directory, log, variables=variables, inherit=files)
        lock.truncate(0)
        lock.write(str(process.pid))
    return process


@cache
def _lifeline() -> int:
    """Return the end to read of a pipe whose other end is open as long as this process lives; no child inherits it."""
    to_read, _ = os.pipe()
    return to_read


def living(pid_file: Path) -> int | None:
    """Return the process that holds a file of `launch` now, whoever started it; None when none does.

    The lock decides, not the number: what a crash left behind is never taken for a process.
    """
    if not pid_file.exists():
        return None
    with pid_file.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return int(file.read() or 0) or None
    return None


def tail(log: Path) -> str:
    """Return the last lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])


def wait_until(condition: Callable[[], bool], timeout_s: float, what: str, hint: str) -> None:
    """Wait until a condition holds. Raises: UnavailableError, after the time-out, with the hint."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise UnavailableError(f"waited {timeout_s:g} s in vain for {what}", hint=hint)
        time.sleep(POLL_S)
