"""The process that runs one SQL statement, and ends: `python -m pelton.web.sql_process`, a job in, a frame out.

Its memory is limited, and once it has its tables it can open no file and write none. It ends with 0 and the frame in
Arrow's stream format, with WRONG and words where the statement is wrong, or otherwise where its memory was too little:
Rust ends a process then that cannot go on.
"""

from __future__ import annotations

import io
import os
import resource
import sys
from pathlib import Path

import msgspec
import polars as pl

from pelton.web.sql import WRONG, SqlJob

__all__ = ["main"]

_TOO_LITTLE_MEMORY = 4
_STATM = Path("/proc/self/statm")


def main() -> int:
    """Run the job of the standard input; return the exit status."""
    job = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=SqlJob)
    try:
        _limit_memory(job.memory_bytes)
        frames = {name: pl.read_ipc_stream(io.BytesIO(data)) for name, data in job.tables.items()}
        # Its first query has polars open what it needs for all others.
        pl.SQLContext({"one": pl.DataFrame({"n": [1]})}, eager=True).execute("SELECT COUNT(n) AS n FROM one GROUP BY n")
        _open_nothing_more()
        found = pl.SQLContext(frames, eager=True).execute(job.statement)
        written = io.BytesIO()
        (found.head(job.rows_max) if job.rows_max else found).write_ipc_stream(written)
        if 0 < job.bytes_max < written.tell():
            sys.stderr.write(f"the answer has more than {job.bytes_max:,} bytes: ask for fewer rows, with LIMIT")
            return WRONG
        sys.stdout.buffer.write(written.getvalue())
    except MemoryError:
        return _TOO_LITTLE_MEMORY
    except (pl.exceptions.PolarsError, ValueError, TypeError, OSError) as error:
        sys.stderr.write(str(error).partition("\n\nResolved plan")[0])
        return WRONG
    return 0


def _limit_memory(memory_bytes: int) -> None:
    """Let the process take so much beyond what it has now; only Linux tells how much that is."""
    if _STATM.exists():
        now = int(_STATM.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + memory_bytes, now + memory_bytes))


def _open_nothing_more() -> None:
    free = os.open(os.devnull, os.O_RDONLY)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, free))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


if __name__ == "__main__":
    raise SystemExit(main())
