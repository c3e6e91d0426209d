"""How many tokens a minute, and how much money a day, the model may take."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from app.llm.errors import BudgetSpent
from app.llm.settings import ModelSettings

__all__ = ["Budget", "Reserved"]

#: Spending is kept in slices of this length, so that a day of any number of calls is 1,440 of them at most.
SLICE_S = 60.0
DAY_S = 86_400.0
MINUTE_S = 60.0
MILLION = 1_000_000


@dataclass(slots=True, eq=False)
class _Slice:
    """What began within a minute, and what it cost."""

    begin_s: float
    cost: float = 0.0


@dataclass(slots=True, eq=False)
class Reserved:
    """What a call may take, until it is known what it took. at_s: when it began, elapsed time."""

    at_s: float
    tokens: int
    cost: float
    slice: _Slice


class Budget:
    """What has been taken in the last minute, and in the last day; both windows slide.

    A call reserves before it begins what it may take at most, so that many at once cannot overdraw together. It is a
    worker's own, and begins anew with it.
    now: elapsed time in seconds.
    """

    def __init__(self, settings: ModelSettings, now: Callable[[], float]) -> None:
        self._settings = settings
        self._now = now
        self._minute: deque[Reserved] = deque()
        self._day: deque[_Slice] = deque()

    def reserve(self, prompt_tokens: int) -> Reserved:
        """Take what a question of so many tokens may cost. Raises: BudgetSpent when there is no room for it."""
        settings, now = self._settings, self._now()
        tokens, cost = prompt_tokens + settings.answer_tokens, self.cost(prompt_tokens, settings.answer_tokens)
        if settings.tokens_per_minute and self.tokens_spent + tokens > settings.tokens_per_minute:
            raise BudgetSpent(f"the budget of {settings.tokens_per_minute:,} tokens a minute is spent")
        if settings.cost_per_day and self.cost_spent + cost > settings.cost_per_day:
            raise BudgetSpent(f"the budget of {settings.cost_per_day:g} a day is spent")
        if not self._day or now - self._day[-1].begin_s >= SLICE_S:
            self._day.append(_Slice(now))
        one = Reserved(now, tokens, cost, self._day[-1])
        one.slice.cost += cost
        self._minute.append(one)
        return one

    def settle(self, one: Reserved, prompt_tokens: int, completion_tokens: int) -> None:
        """Say what a call took."""
        cost = self.cost(prompt_tokens, completion_tokens)
        one.slice.cost += cost - one.cost
        one.tokens, one.cost = prompt_tokens + completion_tokens, cost

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Return what so many tokens cost."""
        return (prompt_tokens * self._settings.price_in + completion_tokens * self._settings.price_out) / MILLION

    @property
    def tokens_spent(self) -> int:
        """The tokens of the last minute."""
        while self._minute and self._now() - self._minute[0].at_s >= MINUTE_S:
            self._minute.popleft()
        return sum(one.tokens for one in self._minute)

    @property
    def cost_spent(self) -> float:
        """What the last day has cost, to the minute."""
        while self._day and self._now() - self._day[0].begin_s >= DAY_S:
            self._day.popleft()
        return sum(one.cost for one in self._day)
