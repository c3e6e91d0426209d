"""`faust -A app worker --reload`: for development, a worker that is started anew when the program's files change.

    watch ──a file changes──▶ does it compile? ──no──▶ show the error; the worker goes on as it was
      ▲                           │ yes
      └── worker starts anew ◀── worker ends in order: what is complete is committed, its state stays on the disk

It is a process beside the worker, which imports nothing of the program, so no error in there can end it:

    python -m pelton.shell.reloading --watch src -- python -m faust -A app worker

Files are looked at from time to time, which works on every file system and container mount; a program has few of them.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pelton.shell.processes import PARENT

__all__ = ["Reloader", "main", "reload_command"]

#: How often the files are looked at, in seconds.
_LOOK_S = 0.3
#: How long a worker that is told to end may take before it is killed, in seconds.
_END_S = 30.0
_DESCRIPTION = "Run a command, in order and anew whenever a Python file below the watched directories has changed."
_SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages"})

#: What a file is known by: when it was changed, and its size.
_Files = Mapping[Path, tuple[int, int]]


def reload_command(command: Sequence[str], directories: Sequence[str]) -> list[str]:
    """Return the command that runs another one, and starts it anew when files in these directories change."""
    watched = [word for directory in directories for word in ("--watch", directory)]
    return [sys.executable, "-m", "pelton.shell.reloading", *watched, "--", *command]


class Reloader:
    """Runs a command, and again whenever one of the Python files below these directories has changed."""

    def __init__(self, command: Sequence[str], directories: Sequence[Path]) -> None:
        self._command = command
        self._directories = directories
        self._files: _Files = {}
        self._stopped = asyncio.Event()

    async def run(self) -> int:
        """Run until a signal ends it, or the command ends in order; return the exit status."""
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(signum, self._stopped.set)
        self._files = await asyncio.to_thread(_look, self._directories)
        status = None
        while status is None:
            status = await self._run_once()
        return status

    async def _run_once(self) -> int | None:
        """Run the command until it is to start anew; return the exit status when it is not."""
        environment = {**os.environ, PARENT: str(os.getpid())}
        # A session of its own: Ctrl-C reaches it through us alone, once.
        process = await asyncio.create_subprocess_exec(*self._command, start_new_session=True, env=environment)
        ended = asyncio.create_task(process.wait())
        changed = asyncio.create_task(self._changed())
        stopped = asyncio.create_task(self._stopped.wait())
        try:
            await asyncio.wait([ended, changed, stopped], return_when=asyncio.FIRST_COMPLETED)
            if ended.done() and not stopped.done() and ended.result() != 0:
                _say(f"the worker ended with status {ended.result()}; it starts anew when a file changes")
                await asyncio.wait([changed, stopped], return_when=asyncio.FIRST_COMPLETED)
            status = await _end(process)
            if changed.done() and not stopped.done():
                changed.result()
                return None
            return status
        finally:
            for task in (ended, changed, stopped):
                task.cancel()
            await asyncio.gather(ended, changed, stopped, return_exceptions=True)

    async def _changed(self) -> None:
        """Return when files have changed, have come to rest, and compile."""
        while True:
            before, names = self._files, set[Path]()
            while not names or self._files != before:
                await asyncio.sleep(_LOOK_S)
                before, self._files = self._files, await asyncio.to_thread(_look, self._directories)
                names |= {path for path in {*before, *self._files} if before.get(path) != self._files.get(path)}
            told = ", ".join(sorted(_shown(path) for path in names))
            broken = [error for path in sorted(names) if (error := _syntax_error(path)) is not None]
            if not broken:
                _say(f"changed: {told}; the worker starts anew")
                return
            for error in broken:
                _say(error)
            _say(f"changed: {told}; the worker goes on as it was until that is mended")


def _look(directories: Sequence[Path]) -> _Files:
    found: dict[Path, tuple[int, int]] = {}
    for path in (path for directory in directories for path in _python_files(directory)):
        with contextlib.suppress(OSError):  # it was removed meanwhile
            status = path.stat()
            found[path] = status.st_mtime_ns, status.st_size
    return found


def _python_files(directory: Path) -> Iterator[Path]:
    """Yield the Python files below a directory, but for hidden directories, environments and caches."""
    for root, directories, files in os.walk(directory):
        if "pyvenv.cfg" in files:
            directories.clear()
            continue
        directories[:] = [name for name in directories if not name.startswith(".") and name not in _SKIPPED]
        yield from (Path(root, name) for name in files if name.endswith(".py"))


def _syntax_error(path: Path) -> str | None:
    """Return what keeps a file from being parsed; None when nothing does, or it is gone."""
    try:
        ast.parse(path.read_bytes(), str(path))
    except (SyntaxError, ValueError) as error:
        return "".join(traceback.format_exception_only(error)).rstrip()
    except OSError:
        return None
    return None


def _shown(path: Path) -> str:
    with contextlib.suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)


async def _end(process: asyncio.subprocess.Process) -> int:
    """End a process in order, or by force when it takes too long; return its status."""
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(_END_S):
                return await process.wait()
        except TimeoutError:
            _say(f"the worker did not end within {_END_S:g} s: it is killed")
            process.kill()
    return await process.wait()


def _say(text: str) -> None:
    print(f"[reload] {text}", file=sys.stderr, flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m pelton.shell.reloading", description=_DESCRIPTION)
    parser.add_argument("--watch", metavar="DIR", action="append", type=Path, help="a directory to watch: here if none")
    parser.add_argument("command", nargs="+", help="what to run, behind --")
    options = parser.parse_args(argv)
    directories = [path.absolute() for path in options.watch or [Path.cwd()]]
    if missing := [str(path) for path in directories if not path.is_dir()]:
        parser.error(f"no directory: {', '.join(missing)}")
    return asyncio.run(_run(options.command, directories))


async def _run(command: Sequence[str], directories: Sequence[Path]) -> int:
    return await Reloader(command, directories).run()


if __name__ == "__main__":
    sys.exit(main())
