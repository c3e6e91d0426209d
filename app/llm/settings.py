"""Where the model is, and what it may cost: read from the environment, once."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from pelton import ConfigurationError

__all__ = ["ModelSettings"]

#: variable -> field, what it means; docs/language-model.md has the same table.
VARIABLES = {
    "OPENAI_API_KEY": "api_key",
    "OPENAI_BASE_URL": "base_url",
    "OPENAI_MODEL": "model",
    "MODEL_TIMEOUT_S": "timeout_s",
    "MODEL_CONVERSATION_S": "conversation_s",
    "MODEL_ATTEMPTS": "attempts",
    "MODEL_TOKENS_PER_MINUTE": "tokens_per_minute",
    "MODEL_JUDGEMENTS_PER_MINUTE": "judgements_per_minute",
    "MODEL_SAMPLES_PER_MINUTE": "samples_per_minute",
    "MODEL_COST_PER_DAY": "cost_per_day",
    "MODEL_PRICE_IN": "price_in",
    "MODEL_PRICE_OUT": "price_out",
}


class ModelSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a model is reached, and what bounds it.

    api_key: without one, no model is used. Servers that need none (Ollama, llama.cpp, vLLM) take any, such as "none".
    base_url: of the server, with its /v1; OpenAI's own when empty.
    timeout_s: for one call with all its attempts. attempts: how often a call is tried.
    conversation_s: for all calls that one answer to a customer takes: the model looks things up, and is asked again.
    tokens_per_minute, cost_per_day: budgets of one worker; 0 for no limit.
    judgements_per_minute, samples_per_minute: how often a worker asks about unusual records, and about the sample.
    price_in, price_out: what a million tokens of questions and of answers cost, in the currency of the budget.
    failures, cool_down_s: so many failures one after the other, and the model is left alone for so long.
    answer_tokens: how long an answer may be. cached: how many answers are kept in memory.
    """

    api_key: str = ""
    base_url: str = ""
    model: str = "gpt-4o-mini"
    timeout_s: float = 30.0
    conversation_s: float = 100.0
    attempts: int = 4
    tokens_per_minute: int = 0
    cost_per_day: float = 0.0
    judgements_per_minute: int = 30
    samples_per_minute: int = 5
    price_in: float = 0.0
    price_out: float = 0.0
    failures: int = 5
    cool_down_s: float = 30.0
    answer_tokens: int = 1_000
    cached: int = 1_000

    def __post_init__(self) -> None:
        limits = (self.tokens_per_minute, self.cost_per_day, self.judgements_per_minute, self.samples_per_minute)
        if min(self.timeout_s, self.conversation_s) <= 0 or self.attempts < 1 or min(limits) < 0:
            raise ConfigurationError(
                f"the model's settings: expected a time, an attempt at least, and budgets of 0 or more, got {self!r}",
                hint="docs/language-model.md has all of them",
            )
        if self.cost_per_day and not (self.price_in or self.price_out):
            raise ConfigurationError(
                "MODEL_COST_PER_DAY limits what the model costs, but nobody says what a token costs",
                hint="set MODEL_PRICE_IN and MODEL_PRICE_OUT, per million tokens",
            )

    def __repr__(self) -> str:
        """Return the settings without the key: it is nobody's business, and reprs end in logs."""
        shown = {name: getattr(self, name) for name in self.__struct_fields__ if name != "api_key"}
        return f"ModelSettings({shown}, api_key={'given' if self.api_key else 'missing'})"

    @classmethod
    def load(cls, environment: Mapping[str, str]) -> ModelSettings:
        """Return the settings that an environment has; empty variables count as missing.

        Raises: ConfigurationError naming what cannot be read.
        """
        given = {field: environment[name] for name, field in VARIABLES.items() if environment.get(name)}
        try:
            return msgspec.convert(given, cls, strict=False)
        except msgspec.ValidationError as error:
            names = {field: name for name, field in VARIABLES.items()}
            field = str(error).rpartition("$.")[2].rstrip("`")
            raise ConfigurationError(
                f"{names.get(field, 'the model settings')}: {error}", hint="docs/language-model.md has all of them"
            ) from error
