"""A worker's slot: a name that a restarted worker takes over from the one that died.

Workers of one application that share a data directory take numbered slots, each by a lock that the operating system
lets go of when the process dies, however it dies. The name of the slot is the worker's identity in the group and for
its transactions: a restart is known at once as the successor, so nobody waits for the session of the dead one to
expire, and what it left unfinished in the log is aborted first. Two workers that live never have the same name.
"""

from __future__ import annotations

import fcntl
import re
import socket
from pathlib import Path
from typing import IO
from zlib import crc32

__all__ = ["WorkerSlot"]


class WorkerSlot:
    """The first free slot under a data directory; taken until `release` or the end of the process.

    name: host, data directory (as a checksum) and number; letters, digits, dots and dashes only.
    """

    def __init__(self, datadir: Path) -> None:
        directory = datadir.absolute() / "workers"
        directory.mkdir(parents=True, exist_ok=True)
        number = 0
        while (lock := _lock(directory / f"{number}.lock")) is None:
            number += 1
        self.number = number
        host = re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname())
        self.name = f"{host}-{crc32(str(datadir.absolute()).encode()):08x}-{number}"
        self._lock: IO[str] | None = lock

    def release(self) -> None:
        """Let go of the slot. Idempotent."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def _lock(path: Path) -> IO[str] | None:
    """Return the file, locked; None when another process has it."""
    file = path.open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file
