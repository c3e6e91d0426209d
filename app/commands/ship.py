"""`faust -A app ship FILE…`: send the lines of real log files, and go on where the last run stopped.

Each record bears in its header how far into the file it goes, so a run that is killed and started again doubles and
loses nothing: it reads the last record of the file in the log and begins behind it. A file that has become shorter, or
whose name another file has now (rotation), is sent from its beginning.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from app.bank import app, raw_logs
from app.logbook import entries
from app.models import RawLine
from pelton import AppCommand, argument, option

__all__ = ["Piece", "pieces", "ship"]

#: Bytes of one record: a line and those that continue it; what is longer is cut.
PIECE_BYTES_MAX = 32_768
CHUNK = 1_000
POLL_S = 0.5
#: How many of a file's bytes tell it from another one of the same name.
FINGERPRINT_BYTES = 256

_CONTINUES = re.compile(rb"[ \t]|Caused by:|Traceback \(|[\w.$]+(?:Exception|Error|Interrupt)\b")


@dataclass(frozen=True, slots=True)
class Piece:
    """A line with those that continue it. end: where it ends in the file, in bytes."""

    text: str
    end: int


def pieces(file: BinaryIO, *, last: bool = True) -> Iterator[Piece]:
    """Yield the lines of a file from where it stands, each with the ones that continue it.

    A line continues the one before when it begins with white space, or as stack traces of Java and Python do.
    last: whether the last line is complete without a line end, and nothing will continue it.
    """
    held: list[bytes] = []
    end = file.tell()
    size = 0
    for line in file:
        if not line.endswith(b"\n") and not last:
            break
        continues = _CONTINUES.match(line) is not None
        if held and not (continues and size + len(line) <= PIECE_BYTES_MAX):
            yield _piece(held, end)
            held, size = [], 0
        end += len(line)
        size += len(line)
        if line.strip():
            held.append(line)
    if held and last:
        yield _piece(held, end)


def _piece(lines: list[bytes], end: int) -> Piece:
    text = b"".join(lines)[:PIECE_BYTES_MAX].decode(errors="replace").rstrip()
    return Piece(text.replace("\0", "\ufffd"), end)


@app.command(
    argument("files", nargs=-1, required=True),
    option("--service", help="Whose lines they are, unless they tell; the file's name without endings by default."),
    option("--follow", is_flag=True, help="Wait for further lines until Ctrl-C."),
)
async def ship(self: AppCommand, files: tuple[str, ...], *, service: str | None, follow: bool) -> None:
    """Send the lines of log files that are not sent yet.

    A file goes on where the last run stopped; --follow waits for more lines. Page: /logs/page.
    """
    shipments = [_Shipment(Path(file), service or Path(file).name.split(".")[0]) for file in files]
    await _resume(shipments)
    for shipment in shipments:
        print(f"{shipment.path.name}: sent {await shipment.advance(last=not follow):,} records", flush=True)
    while follow:
        await asyncio.sleep(POLL_S)
        for shipment in shipments:
            await shipment.advance(last=False)


class _Shipment:
    """One file on its way."""

    def __init__(self, path: Path, source: str) -> None:
        self.path = path
        self.source = source
        self.position = 0
        self.fingerprint = b""

    async def advance(self, *, last: bool) -> int:
        """Send what the file holds behind the position. Returns: how many records, all durable."""
        with self.path.open("rb") as file:
            self._check(file)
            file.seek(self.position)
            sent, chunk = 0, list[Piece]()
            for piece in pieces(file, last=last):
                chunk.append(piece)
                if len(chunk) == CHUNK:
                    sent += await self._send(chunk)
                    chunk = []
            return sent + await self._send(chunk)

    def _check(self, file: BinaryIO) -> None:
        """Begin anew when the file is not the one that was sent."""
        size = os.fstat(file.fileno()).st_size
        begin = file.read(FINGERPRINT_BYTES)
        if size < self.position or not begin.startswith(self.fingerprint):
            self.position = 0
        self.fingerprint = begin

    async def _send(self, chunk: list[Piece]) -> int:
        pending: list[Any] = [
            await raw_logs.send(key=self.source, value=RawLine(piece.text), headers=self._headers(piece))
            for piece in chunk
        ]
        await asyncio.gather(*pending)
        if chunk:
            self.position = chunk[-1].end
        return len(chunk)

    def _headers(self, piece: Piece) -> dict[str, bytes]:
        return {"file": self.path.name.encode(), "begin": self.fingerprint, "end": b"%d" % piece.end}


async def _resume(shipments: list[_Shipment]) -> None:
    """Put each file behind its last record in the log."""
    by_name = {shipment.path.name.encode(): shipment for shipment in shipments}
    async for entry in entries(raw_logs.get_topic_name()):
        shipment = by_name.get(entry.headers.get("file", b""))
        if shipment is not None:
            shipment.position, shipment.fingerprint = int(entry.headers["end"]), entry.headers["begin"]
