"""Where every random decision of a run comes from."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TypeVar

__all__ = ["Chance"]

T = TypeVar("T")


class Chance:
    """A stream of decisions that follows from its name alone.

    Each part of the simulation has one of its own, so that a change in one does not shift what the others draw.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._random = Random(name)  # noqa: S311 - reproducible is what it is for

    def of(self, part: str) -> Chance:
        """Return the decisions of a part."""
        return Chance(f"{self.name}/{part}")

    def happens(self, probability: float) -> bool:
        """Return True with this probability."""
        return probability > 0 and self._random.random() < probability

    def between(self, least: int, most: int) -> int:
        """Return a whole number, both ends included."""
        return least + int(self._random.random() * (most - least + 1))

    def uniform(self, least: float, most: float) -> float:
        """Return a number from a range."""
        return least + self._random.random() * (most - least)

    def around(self, mean: float) -> float:
        """Return a positive number with this mean, most often smaller, seldom much larger (exponential)."""
        return self._random.expovariate(1.0) * mean

    def pick(self, choices: Sequence[T]) -> T:
        """Return one of these."""
        return choices[int(self._random.random() * len(choices))]
