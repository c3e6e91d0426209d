"""What card terminals do, and the log file that some write of it; a new one is begun when it is large."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from app.models.terminal import TerminalEvent
from app.simulation.traffic import Labelled

__all__ = ["TerminalLog", "tried_with"]

#: Of so many payments, one is logged by a terminal of ours.
ONE_IN = 50
_BYTES_MAX = 1024 * 1024
_KEPT = 3


def tried_with(one: Labelled) -> TerminalEvent:
    """Return what a terminal makes of a payment: one with a label is declined."""
    return TerminalEvent(one.transaction.merchant, one.transaction.ts, one.transaction.amount, not one.label)


class TerminalLog:
    """The log file of a directory."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._path = directory / "terminals.log"

    def write(self, payments: Iterable[Labelled]) -> None:
        """Log some of these payments."""
        lines = [tried_with(one).line() for one in payments if one.sequence % ONE_IN == 0]
        if not lines:
            return
        if self._path.exists() and self._path.stat().st_size > _BYTES_MAX:
            self._rotate()
        with self._path.open("a") as file:
            file.write("".join(lines))

    def _rotate(self) -> None:
        for number in range(_KEPT, 0, -1):
            older = self._path.with_name(f"terminals.log.{number}")
            if older.exists():
                older.replace(self._path.with_name(f"terminals.log.{number + 1}"))
        self._path.replace(self._path.with_name("terminals.log.1"))
        self._path.with_name(f"terminals.log.{_KEPT + 1}").unlink(missing_ok=True)
