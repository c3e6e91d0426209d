"""What an application puts on Home: cards of its own, such as its latest alerts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from pelton.errors import UnavailableError

__all__ = ["Card", "HomeCard", "HomeLine", "drawn"]

_LINES_MAX = 10


class HomeLine(msgspec.Struct, frozen=True):
    """One line of a card.

    text: what it says; detail: less loud, behind it. path: an address of this server that it leads to, "" for none.
    ts: when it happened, seconds since the epoch; lines of several workers are in this order, latest first.
    """

    text: str
    detail: str = ""
    path: str = ""
    ts: float = 0.0


@dataclass(frozen=True, slots=True)
class HomeCard:
    """A card as the application declares it. path: the page that tells more. lines: returns what this worker knows."""

    title: str
    path: str
    lines: Callable[[], Sequence[HomeLine]]


class Card(msgspec.Struct):
    """A card as a worker shows it. error: why it has no lines, "" when it has what there is."""

    title: str
    path: str
    lines: list[HomeLine] = []
    error: str = ""


def drawn(card: HomeCard) -> Card:
    """Return a card with its lines; what its function raises is shown in its place."""
    try:
        return Card(card.title, card.path, list(card.lines())[:_LINES_MAX])
    except UnavailableError as error:
        return Card(card.title, card.path, error=error.message)
    except Exception as error:  # whatever the application's function raises
        return Card(card.title, card.path, error=f"{type(error).__name__}: {error}")
