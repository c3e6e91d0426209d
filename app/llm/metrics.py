"""What the model did, counted; and the same for Prometheus, on the worker's page `/metrics`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import msgspec
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from app.llm.breaker import State
from app.llm.messages import Reply

__all__ = ["ModelCollector", "ModelStatistics", "Tally"]


class ModelStatistics(msgspec.Struct, frozen=True):
    """What one worker's model did since the worker started.

    calls: that were answered; attempts: requests that went out; throttled: of these, answered with 429.
    cached: answers that cost nothing. failures: by reason. cost: in the budget's currency; seconds: of waiting.
    breaker: "closed" while it works. minute_tokens, day_cost: what counts against the budgets now.
    """

    calls: int
    attempts: int
    throttled: int
    cached: int
    failures: dict[str, int]
    prompt_tokens: int
    completion_tokens: int
    cost: float
    seconds: float
    breaker: State
    minute_tokens: int
    day_cost: float


@dataclass(slots=True)
class Tally:
    """The counters."""

    calls: int = 0
    attempts: int = 0
    throttled: int = 0
    cached: int = 0
    failures: Counter[str] = field(default_factory=Counter[str])
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    seconds: float = 0.0

    def answered(self, reply: Reply, cost: float, seconds: float) -> None:
        """Count a call that was answered."""
        self.calls += 1
        self.prompt_tokens += reply.prompt_tokens
        self.completion_tokens += reply.completion_tokens
        self.cost += cost
        self.seconds += seconds

    def failed(self, reason: str) -> None:
        """Count a call that was not."""
        self.failures[reason] += 1

    def statistics(self, breaker: State, minute_tokens: int, day_cost: float) -> ModelStatistics:
        """Return the counters as they are."""
        return ModelStatistics(
            self.calls,
            self.attempts,
            self.throttled,
            self.cached,
            dict(self.failures),
            self.prompt_tokens,
            self.completion_tokens,
            self.cost,
            self.seconds,
            breaker,
            minute_tokens,
            day_cost,
        )


#: name, help, field of ModelStatistics.
_COUNTERS = (
    ("bank_model_calls", "Calls that the model answered.", "calls"),
    ("bank_model_attempts", "Requests that went to the model's server.", "attempts"),
    ("bank_model_throttled", "Requests that the server answered with 429.", "throttled"),
    ("bank_model_cached", "Answers that were known already, and cost nothing.", "cached"),
    ("bank_model_cost", "What the answers cost, in the budget's currency.", "cost"),
    ("bank_model_seconds", "Time that answered calls took, all together.", "seconds"),
)


class ModelCollector:
    """Reads a model's statistics; None stands for a model that was never used."""

    def __init__(self, statistics: Callable[[], ModelStatistics | None]) -> None:
        self._statistics = statistics

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics as of now."""
        now = self._statistics()
        if now is None:
            return
        for name, help_, field_ in _COUNTERS:
            yield CounterMetricFamily(name, help_, getattr(now, field_))
        tokens = CounterMetricFamily("bank_model_tokens", "Tokens that were paid for.", labels=["kind"])
        tokens.add_metric(["prompt"], now.prompt_tokens)
        tokens.add_metric(["completion"], now.completion_tokens)
        failures = CounterMetricFamily("bank_model_failures", "Calls without an answer.", labels=["reason"])
        for reason, count in sorted(now.failures.items()):
            failures.add_metric([reason], count)
        yield from (tokens, failures)
        open_ = "1 while the model is left alone, because it failed too often."
        yield GaugeMetricFamily("bank_model_circuit_open", open_, now.breaker != "closed")
        yield GaugeMetricFamily("bank_model_minute_tokens", "Tokens of the last minute.", now.minute_tokens)
        yield GaugeMetricFamily("bank_model_day_cost", "What the last day has cost.", now.day_cost)
