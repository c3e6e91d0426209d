"""Text files that grow, as `tail -F` follows them: over rotations, truncations and restarts, each line once.

    lines = app.source(FileTail("/var/log/nginx/*.log"), to=app.topic("nginx", value_type=str))

A file is known by its inode and by a hash of how it begins, not by its name: one that was renamed is the same file, and
one that has the inode of another that is gone is not. A position is how many bytes of it were read, up to the end of a
line; what stands behind the last line's end waits for the rest of its line.
"""

from __future__ import annotations

import asyncio
import glob
import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, Literal

from pelton.connect.contract import SourceBatch, SourceRecord
from pelton.errors import ConfigurationError, UnavailableError

__all__ = ["FileTail"]

logger = logging.getLogger(__name__)

#: How much of a file's beginning tells it from another.
_PRINT_BYTES = 1024
_BATCH_BYTES = 1024 * 1024
_BATCH_LINES = 1_000
#: A line that is longer comes in pieces of this size.
_LINE_BYTES_MAX = 512 * 1024


class FileTail:
    """The lines of files, new ones and those to come.

    pattern: a path, or several, with `*`, `?` and `**`. start: "beginning", or "end" for what is there at the very
        first start: only lines that come later are read then. poll: how often files are looked at, in seconds.
    Values are lines, as bytes without their end; keys the path under which the line was found, so that the lines of a
    file stay in order. Read by one worker, on its own disk: name one source for each machine.
    Raises: ConfigurationError.
    """

    def __init__(
        self, *pattern: str | Path, start: Literal["beginning", "end"] = "beginning", poll: float = 0.25
    ) -> None:
        if not pattern or not all(str(one) for one in pattern):
            raise ConfigurationError("FileTail: expected a path", hint='write FileTail("/var/log/nginx/*.log")')
        if start not in ("beginning", "end"):
            raise ConfigurationError(f'FileTail: start: expected "beginning" or "end", got {start!r}')
        if poll <= 0:
            raise ConfigurationError(f"FileTail: poll: expected more than 0 seconds, got {poll!r}")
        self.patterns = tuple(str(one) for one in pattern)
        self.start = start
        self.poll = poll

    async def open(self, positions: Mapping[str, Any]) -> _Tail:
        """Begin where the positions say."""
        return _Tail(self, positions)

    def paths(self) -> list[str]:
        """Return the files that are there now; those that were changed last come last."""
        found = {path for one in self.patterns for path in glob.glob(one, recursive=True)}
        dated = [(stat.st_mtime_ns, path) for path in found if (stat := _stat(path)) is not None]
        return [path for _, path in sorted(dated)]

    def __repr__(self) -> str:
        return f"FileTail({', '.join(map(repr, self.patterns))})"


@dataclass(slots=True)
class _Tailed:
    """A file that is open. offset: behind the last line that was read. printed: of how many bytes `mark` is the hash.

    quiet: how often there was nothing more while the file was known by no name of the pattern.
    """

    identity: str
    path: str
    file: BinaryIO
    offset: int = 0
    printed: int = 0
    mark: str = ""
    named: bool = True
    quiet: int = 0

    def position(self) -> dict[str, Any]:
        return {"path": self.path, "offset": self.offset, "printed": self.printed, "mark": self.mark}

    def print(self) -> None:
        """Take the fingerprint of more of the file, as it has grown."""
        if self.printed < _PRINT_BYTES and self.offset > self.printed:
            self.printed = min(self.offset, _PRINT_BYTES)
            self.mark = _mark(self.file, self.printed)


class _Tail:
    """Files that are being followed, one after the other."""

    def __init__(self, tail: FileTail, positions: Mapping[str, Any]) -> None:
        self._tail = tail
        self._known = dict(positions)
        self._first = not positions and tail.start == "end"
        self._files: dict[str, _Tailed] = {}
        self._gone: list[str] = []
        self._missing: set[str] = set(positions)
        self._looked = False
        self._turn: list[str] = []

    async def read(self) -> SourceBatch:
        """Return lines of one file; each file has its turn."""
        while True:
            for _ in range(2):
                if (batch := self._next()) is not None:
                    await asyncio.sleep(0)
                    return batch
                self._look()
            await asyncio.sleep(self._tail.poll)
            self._looked = False

    async def committed(self, batch: SourceBatch) -> None:
        """Do nothing: a file keeps what was read."""

    async def close(self) -> None:
        """Close the files."""
        for one in self._files.values():
            one.file.close()
        self._files = {}

    # -- which files there are ---------------------------------------------------------------------

    def _look(self) -> None:
        """Find files that are new, renamed, cut off or gone; once a poll."""
        if self._looked:
            return
        self._looked = True
        seen: set[str] = set()
        for path in self._tail.paths():
            if (identity := self._found(path)) is not None:
                seen.add(identity)
        for one in self._files.values():
            one.named = one.identity in seen
        self._first = False
        if self._missing:
            self._look_for_renamed()
        self._turn = list(self._files)

    def _found(self, path: str) -> str | None:
        stat = _stat(path)
        if stat is None:
            return None
        identity = f"{stat.st_dev}:{stat.st_ino}"
        one = self._files.get(identity)
        if one is None:
            one = self._open(path, identity)
        elif one.path != path and _identity(one.path) != identity:
            one.path = path  # renamed, and no link
        if one is not None and stat.st_size < one.offset:
            logger.warning(
                "%s was cut off at %d bytes, of which %d were read: beginning anew", path, stat.st_size, one.offset
            )
            one.offset, one.printed, one.mark = 0, 0, ""
        return identity

    def _open(self, path: str, identity: str) -> _Tailed | None:
        try:
            file = open(path, "rb")  # noqa: SIM115 - closed when it is gone, or with the reader
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UnavailableError(
                f"could not open {path}: {error.strerror}", hint="may the worker read it?"
            ) from error
        one = self._files[identity] = _Tailed(identity, path, file)
        known = self._known.pop(identity, None)
        self._missing.discard(identity)
        if known is not None and _same(file, known):
            one.offset, one.printed, one.mark = known["offset"], known["printed"], known["mark"]
        elif known is None and self._first:
            one.offset = _end_of_last_line(file)
            one.print()
        return one

    def _look_for_renamed(self) -> None:
        """Look beside the files that are known and were not found, for what a rotation made of them meanwhile."""
        for directory in {os.path.dirname(self._known[identity]["path"]) or "." for identity in self._missing}:
            for path in _listed(directory):
                identity = _identity(path)
                if identity in self._missing and self._open(path, identity) is not None:
                    self._files[identity].named = False
        for identity in self._missing:
            known = self._known.pop(identity)
            logger.warning(
                "%s is gone: what stood behind its first %d bytes is lost, if anything did",
                known["path"],
                known["offset"],
            )
            self._gone.append(identity)
        self._missing = set()

    # -- what they hold ----------------------------------------------------------------------------

    def _next(self) -> SourceBatch | None:
        """Return the next lines there are; None when no file has any."""
        if self._gone:
            gone, self._gone = self._gone, []
            return SourceBatch((), dict.fromkeys(gone))
        while self._turn:
            one = self._files.get(self._turn.pop(0))
            if one is None:
                continue
            if (batch := self._lines(one)) is not None:
                self._turn.append(one.identity)
                return batch
        return None

    def _lines(self, one: _Tailed) -> SourceBatch | None:
        self._check_beginning(one)
        one.file.seek(one.offset)
        data = one.file.read(_BATCH_BYTES)
        lines, used = _whole_lines(data)
        if not lines and not one.named:
            return self._finish(one, data)
        if not lines:
            return None
        one.offset += used
        one.quiet = 0
        one.print()
        return SourceBatch(self._records(one, lines), {one.identity: one.position()})

    def _check_beginning(self, one: _Tailed) -> None:
        """Begin anew in a file that was cut off and has grown past where it was read."""
        if one.printed and _mark(one.file, one.printed) != one.mark:
            logger.warning("%s was written anew: beginning anew", one.path)
            one.offset, one.printed, one.mark = 0, 0, ""

    def _finish(self, one: _Tailed, rest: bytes) -> SourceBatch | None:
        """Let go of a file that has no name any more, once it has stood still for a while; its rest is a line."""
        one.quiet += 1
        if one.quiet < 3:  # whoever writes it may still be at it for a moment
            return None
        one.file.close()
        del self._files[one.identity]
        return SourceBatch(self._records(one, [rest] if rest else []), {one.identity: None})

    def _records(self, one: _Tailed, lines: Iterable[bytes]) -> list[SourceRecord]:
        return [SourceRecord(line.removesuffix(b"\r"), one.path.encode(errors="surrogateescape")) for line in lines]


def _whole_lines(data: bytes) -> tuple[list[bytes], int]:
    """Return the lines that have an end, without it, and how many bytes they take; a huge one comes in pieces."""
    end = data.rfind(b"\n") + 1
    if not end:
        return ([data[:_LINE_BYTES_MAX]], _LINE_BYTES_MAX) if len(data) >= _LINE_BYTES_MAX else ([], 0)
    lines = data[: end - 1].split(b"\n")
    if len(lines) > _BATCH_LINES:
        lines = lines[:_BATCH_LINES]
        end = sum(map(len, lines)) + len(lines)
    return lines, end


def _stat(path: str) -> os.stat_result | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found if os.path.isfile(path) else None


def _identity(path: str) -> str:
    stat = _stat(path)
    return "" if stat is None else f"{stat.st_dev}:{stat.st_ino}"


def _listed(directory: str) -> list[str]:
    try:
        return [entry.path for entry in os.scandir(directory) if entry.is_file()]
    except OSError:
        return []


def _mark(file: BinaryIO, nbytes: int) -> str:
    file.seek(0)
    return sha256(file.read(nbytes)).hexdigest()[:32]


def _same(file: BinaryIO, known: Mapping[str, Any]) -> bool:
    """Whether a file is the one that a position is of: as long at least, and with the same beginning."""
    size = os.fstat(file.fileno()).st_size
    return bool(size >= known["offset"] and _mark(file, known["printed"]) == known["mark"])


def _end_of_last_line(file: BinaryIO) -> int:
    """Return where the last whole line ends."""
    size = os.fstat(file.fileno()).st_size
    step = 64 * 1024
    for start in range(max(0, size - step), -1, -step):
        file.seek(start)
        if (found := file.read(step).rfind(b"\n")) >= 0:
            return start + found + 1
        if not start:
            break
    return 0
