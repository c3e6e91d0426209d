"""Has a program end with the process that started it, however that ends: `python tether.py LIFELINE FILES PROGRAM …`.

It becomes the program, so that who started it has the program's process id; a child of it watches. LIFELINE is the end
of a pipe to read from, whose other end the starting process alone has open: the system closes that when the process
is gone, also by SIGKILL. FILES are descriptors, comma-separated, that the program keeps open and the child does not.

It imports the standard library only, and is run by path, so that it costs milliseconds. What watches is a child of the
program for a reason: as long as its parent is the program, the process id is the program's, and nobody else's.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Sequence

LOOK_S = 1.0
#: As long as `Cluster.stop` waits before it kills.
END_TIMEOUT_S = 20.0
_POLL_S = 0.05


def main(lifeline: int, files: Sequence[int], command: list[str]) -> None:
    """Become the program, with a child that watches over the lifeline; returns in neither of them."""
    program = os.getpid()
    if os.fork() == 0:
        for file in files:
            os.close(file)
        _watch(program, lifeline)
        os._exit(0)
    os.close(lifeline)
    os.execvp(command[0], command)  # noqa: S606 - what the caller starts, no shell


def _watch(program: int, lifeline: int) -> None:
    while os.getppid() == program:
        if select.select([lifeline], [], [], LOOK_S)[0]:
            _end(program)


def _end(program: int) -> None:
    """End the program by SIGTERM, and by SIGKILL when that does not help."""
    deadline = time.monotonic() + END_TIMEOUT_S
    os.kill(program, signal.SIGTERM)
    while os.getppid() == program:
        if time.monotonic() > deadline:
            os.kill(program, signal.SIGKILL)
        time.sleep(_POLL_S)


if __name__ == "__main__":
    main(int(sys.argv[1]), [int(file) for file in sys.argv[2].split(",")], sys.argv[3:])
