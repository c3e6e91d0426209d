"""What is known of each card terminal."""

from __future__ import annotations

from app.bank import app
from app.models.terminal import TerminalState

__all__ = ["terminals"]

terminals = app.Table(
    "terminals",
    default=TerminalState,
    key_type=str,
    value_type=TerminalState,
    partitions=4,
    help="What each card terminal has done.",
)
