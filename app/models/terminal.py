"""What card terminals log, and what is known of each of them."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

__all__ = ["TerminalEvent", "TerminalState"]


class TerminalEvent(msgspec.Struct, frozen=True):
    """One line of a terminal's log: a card was tried.

    ts: when, seconds since the epoch. approved: whether the bank took it.
    """

    terminal: Annotated[str, Meta(min_length=1, max_length=64)]
    ts: float
    amount: float
    approved: bool

    @classmethod
    def parsed(cls, line: bytes | str) -> TerminalEvent:
        """Return what a line says: `<time> <amount> approved|declined <terminal>`. Raises: ValueError."""
        text = line.decode() if isinstance(line, bytes) else line
        ts, amount, result, terminal = text.strip().split(maxsplit=3)
        if result not in ("approved", "declined"):
            raise ValueError(f"expected approved or declined, got {result!r}")
        return cls(terminal, float(ts), float(amount), result == "approved")

    def line(self) -> str:
        """Return the line that says so."""
        return f"{self.ts:.3f} {self.amount:.2f} {'approved' if self.approved else 'declined'} {self.terminal}\n"


class TerminalState(msgspec.Struct, frozen=True):
    """What one terminal has done. last: when it was used last, seconds since the epoch."""

    terminal: str = ""
    tried: int = 0
    declined: int = 0
    amount: float = 0.0
    last: float = 0.0

    def after(self, event: TerminalEvent) -> TerminalState:
        """Return the state with one more event."""
        return TerminalState(
            event.terminal,
            self.tried + 1,
            self.declined + (not event.approved),
            self.amount + (event.amount if event.approved else 0.0),
            max(self.last, event.ts),
        )
