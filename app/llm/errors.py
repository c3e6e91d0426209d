"""What can go wrong with a model, by what the caller can do about it.

All are a `ModelError`: answer without the model, and say so. `ModelUnavailable`: it did not answer, however often it
was asked; `CircuitOpen`, one of these: it was not even asked, for it has failed too often just now. `BudgetSpent`: it
was not asked, for the tokens or the money are spent. `Refused`: it does not want to answer. `BadAnswer`: what it
answered is not of the shape that was asked for.
"""

from __future__ import annotations

__all__ = ["BadAnswer", "BudgetSpent", "CircuitOpen", "ModelError", "ModelUnavailable", "Refused"]


class ModelError(Exception):
    """There is no answer of the model; the text says why, in words that may be shown.

    reason: the same in one word, for statistics.
    """

    reason = "rejected"


class ModelUnavailable(ModelError):
    """The model did not answer within the attempts and the time that it has.

    after_s: when the server asks to come back, if it says so. throttled: whether it has too much to do (429).
    begun: whether an answer had begun, which costs.
    """

    reason = "unavailable"

    def __init__(
        self, message: str, *, after_s: float | None = None, throttled: bool = False, begun: bool = False
    ) -> None:
        super().__init__(message)
        self.after_s = after_s
        self.throttled = throttled
        self.begun = begun


class CircuitOpen(ModelUnavailable):
    """The model is left alone for a while, because it failed too often."""

    reason = "circuit_open"


class BudgetSpent(ModelError):
    """The budget of tokens or money has no room for the call."""

    reason = "budget_spent"


class Refused(ModelError):
    """The model refuses to answer."""

    reason = "refused"


class BadAnswer(ModelError):
    """The model's answer is not what was asked for, also at the second attempt."""

    reason = "bad_answer"
