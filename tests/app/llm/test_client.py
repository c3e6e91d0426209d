"""The client of the model, against a real HTTP server that streams, throttles, hangs, drips, breaks off and refuses."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from email.utils import formatdate
from typing import Annotated, Any, Literal

import msgspec
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest

from app.llm import (
    BadAnswer,
    BudgetSpent,
    CircuitOpen,
    LanguageModel,
    Message,
    ModelError,
    ModelSettings,
    ModelUnavailable,
    Refused,
    Tool,
)
from app.llm.metrics import ModelCollector
from pelton import ConfigurationError
from tests.app.llm.model_server import (
    ModelServer,
    Say,
    breaking_off,
    dripping,
    failing,
    hanging,
    serving,
    talking_nonsense,
)
from tests.patience import PATIENCE_S


class Verdict(msgspec.Struct):
    label: Literal["good", "bad"]
    score: Annotated[float, msgspec.Meta(ge=-1, le=1)]
    reason: str | None = None


ASKED = [Message("system", "Be brief."), Message("user", "How are you?")]


@pytest.fixture
async def models() -> AsyncIterator[list[LanguageModel]]:
    made: list[LanguageModel] = []
    yield made
    for model in made:
        await model.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - it polls another's counters, which set no event
            await asyncio.sleep(0.01)


def model_at(server: ModelServer, models: list[LanguageModel], **settings: Any) -> LanguageModel:
    given = {"api_key": "k", "base_url": server.url, "model": "m", "timeout_s": PATIENCE_S, "attempts": 2}
    models.append(LanguageModel(ModelSettings(**(given | settings))))
    return models[-1]


async def test_an_answer_comes_in_pieces_and_is_asked_once(server: ModelServer, models: list[LanguageModel]) -> None:
    model = model_at(server, models)
    server.behaviours = [Say("I am quite well, thank you.")]
    pieces: list[str | None] = []
    reply = await model.complete(ASKED, on_text=pieces.append)
    assert (reply.text, reply.model, reply.cached) == ("I am quite well, thank you.", "test-model-1", False)
    assert len(pieces) > 2
    assert "".join(piece or "" for piece in pieces) == reply.text
    assert server.requests[0]["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "How are you?"},
    ]

    again = await model.complete(ASKED)
    assert (again.text, again.cached) == (reply.text, True)
    other = await model.complete([Message("user", "And now?")])
    assert not other.cached
    assert len(server.requests) == 2
    assert server.keys[0] != server.keys[1]


async def test_tool_calls(server: ModelServer, models: list[LanguageModel]) -> None:
    server.behaviours = [Say("Let me see.", calls=[("balance", "{}"), ("history", '{"last": 5}')])]
    reply = await model_at(server, models).complete(ASKED, tools=[Tool("balance", "What is there.")])
    assert [(call.id, call.name, call.arguments) for call in reply.calls] == [
        ("call-0", "balance", "{}"),
        ("call-1", "history", '{"last": 5}'),
    ]
    assert server.requests[0]["tools"][0]["function"]["name"] == "balance"


async def test_a_typed_answer_is_enforced(server: ModelServer, models: list[LanguageModel]) -> None:
    model = model_at(server, models)
    server.behaviours = [
        Say('{"label": "fine", "score": 1}'),
        Say('```json\n{"label": "good", "score": 0.5, "reason": null}\n```'),
    ]
    assert await model.typed(ASKED, Verdict) == Verdict("good", 0.5)
    form = server.requests[0]["response_format"]["json_schema"]
    assert form["strict"] is True
    assert form["schema"]["required"] == ["label", "reason", "score"]
    assert form["schema"]["additionalProperties"] is False
    assert "fine" in server.requests[1]["messages"][-1]["content"]


@pytest.mark.parametrize("text", ["{", "I think it is good", '{"label": "good", "score": 7}', "[" * 100_000])
async def test_an_answer_that_stays_broken(server: ModelServer, models: list[LanguageModel], text: str) -> None:
    model = model_at(server, models)
    server.behaviours = [Say(text)]
    with pytest.raises(BadAnswer):
        await model.typed(ASKED, Verdict)
    assert len(server.requests) == 2
    assert model.statistics().failures == {"bad_answer": 2}


async def test_it_comes_back_when_the_server_says(server: ModelServer, models: list[LanguageModel]) -> None:
    model = model_at(server, models, attempts=4)
    loop = asyncio.get_running_loop()
    server.behaviours = [failing(429, Retry_After="1"), failing(429, retry_after_ms="1"), Say("now")]
    begin_s = loop.time()
    assert (await model.complete(ASKED)).text == "now"
    assert loop.time() - begin_s >= 1.0
    assert (model.statistics().throttled, model.statistics().attempts) == (2, 3)
    assert len(set(server.keys)) == 1


async def test_a_wait_is_everybodys(server: ModelServer, models: list[LanguageModel]) -> None:
    model = model_at(server, models)
    came_s: list[float] = []

    async def throttle_the_first(server: ModelServer, request: web.Request, asked: dict[str, Any]) -> Any:
        came_s.append(asyncio.get_running_loop().time())
        if len(came_s) == 1:
            return await failing(429, Retry_After="1")(server, request, asked)
        return await server.speak(request, Say("now"))

    server.behaviours = [throttle_the_first]
    first = asyncio.create_task(model.complete(ASKED))
    await until(lambda: model.statistics().throttled > 0)
    await model.complete([Message("user", "something else")])
    await first
    assert len(came_s) == 3
    assert min(came_s[1:]) >= came_s[0] + 1.0


async def test_it_comes_back_at_the_date_that_the_server_says(server: ModelServer, models: list[LanguageModel]) -> None:
    until_s: list[int] = []
    came_s: list[float] = []

    async def throttle_the_first(server: ModelServer, request: web.Request, asked: dict[str, Any]) -> Any:
        came_s.append(time.time())
        if until_s:
            return await server.speak(request, Say("now"))
        until_s.append(int(time.time()) + 3)
        return await failing(429, Retry_After=formatdate(until_s[0], usegmt=True))(server, request, asked)

    server.behaviours = [throttle_the_first]
    assert (await model_at(server, models).complete(ASKED)).text == "now"
    assert came_s[1] >= until_s[0] - 0.05


async def test_a_date_that_is_over_is_no_wait(server: ModelServer, models: list[LanguageModel]) -> None:
    server.behaviours = [failing(429, Retry_After="Wed, 21 Oct 2015 07:28:00 GMT"), Say("now")]
    assert (await model_at(server, models).complete(ASKED)).text == "now"


NO_MAX_TOKENS = (
    "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
)
NO_TEMPERATURE = (
    "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) is supported."
)


@pytest.mark.parametrize("refused", [NO_MAX_TOKENS, NO_TEMPERATURE])
async def test_a_newer_model_is_asked_as_it_wants_from_then_on(
    server: ModelServer, models: list[LanguageModel], refused: str
) -> None:
    async def newer(server: ModelServer, request: web.Request, asked: dict[str, Any]) -> Any:
        if "max_tokens" in asked or "temperature" in asked:
            return web.json_response({"error": {"message": refused, "type": "invalid_request_error"}}, status=400)
        return await server.speak(request, Say("thought about"))

    server.behaviours = [newer]
    model = model_at(server, models, answer_tokens=77)
    both = model.complete(ASKED), model.complete([Message("user", "And now?")])
    assert [reply.text for reply in await asyncio.gather(*both)] == ["thought about"] * 2
    asked = len(server.requests)
    await model.complete([Message("user", "And then?")])
    assert len(server.requests) == asked + 1
    assert (server.requests[0]["max_tokens"], server.requests[0]["temperature"]) == (77, 0)
    assert server.requests[-1]["max_completion_tokens"] == 77
    assert {"max_tokens", "temperature"}.isdisjoint(server.requests[-1])
    assert model.statistics().failures == {}


async def test_a_bad_request_of_another_kind_changes_nothing(server: ModelServer, models: list[LanguageModel]) -> None:
    async def full(server: ModelServer, request: web.Request, asked: dict[str, Any]) -> Any:
        return web.json_response({"error": {"message": "max_tokens: 1000 is more than there is room for"}}, status=400)

    server.behaviours = [full, Say("shorter")]
    model = model_at(server, models)
    with pytest.raises(ModelError, match="room"):
        await model.complete(ASKED)
    await model.complete([Message("user", "Hi")])
    assert ["max_tokens" in one for one in server.requests] == [True, True]


@pytest.mark.parametrize("trouble", [failing(500), failing(503), failing(408), breaking_off, talking_nonsense])
async def test_what_may_pass_is_tried_again(server: ModelServer, models: list[LanguageModel], trouble: Any) -> None:
    server.behaviours = [trouble, Say("well again")]
    pieces: list[str | None] = []
    reply = await model_at(server, models).complete(ASKED, on_text=pieces.append)
    assert reply.text == "well again"
    begun = pieces.index(None) + 1 if None in pieces else 0
    assert "".join(piece or "" for piece in pieces[begun:]) == "well again"
    assert len(server.requests) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
async def test_what_stays_is_not(server: ModelServer, models: list[LanguageModel], status: int) -> None:
    server.behaviours = [failing(status)]
    with pytest.raises(ModelError, match=str(status)) as caught:
        await model_at(server, models).complete(ASKED)
    assert not isinstance(caught.value, ModelUnavailable)
    assert len(server.requests) == 1


async def test_a_server_that_is_not_there(models: list[LanguageModel]) -> None:
    async with serving() as gone:
        pass
    with pytest.raises(ModelUnavailable, match="cannot be reached"):
        await model_at(gone, models).complete(ASKED)


@pytest.mark.parametrize("trouble", [hanging, dripping])
async def test_time_is_up(server: ModelServer, models: list[LanguageModel], trouble: Any) -> None:
    model = model_at(server, models, timeout_s=0.5)
    server.behaviours = [trouble]
    with pytest.raises(ModelUnavailable, match=r"within 0\.5 s"):
        await model.complete(ASKED)
    assert model.statistics().failures == {"timeout": 1}
    async with asyncio.timeout(PATIENCE_S):
        await server.hung_up.wait()


@pytest.mark.parametrize("say", [Say(refusal="I will not."), Say("As I", finish="content_filter")])
async def test_a_refusal(server: ModelServer, models: list[LanguageModel], say: Say) -> None:
    model = model_at(server, models)
    server.behaviours = [say]
    with pytest.raises(Refused):
        await model.complete(ASKED)
    assert (len(server.requests), model.statistics().breaker) == (1, "closed")


async def test_an_answer_that_was_cut_off(server: ModelServer, models: list[LanguageModel]) -> None:
    server.behaviours = [Say("It is a long", finish="length")]
    with pytest.raises(BadAnswer, match="cut off"):
        await model_at(server, models).complete(ASKED)


async def test_a_model_that_fails_is_left_alone(server: ModelServer, models: list[LanguageModel]) -> None:
    model = model_at(server, models, attempts=1, failures=2, cool_down_s=0.2)
    server.behaviours = [failing(500)]
    for _ in range(2):
        with pytest.raises(ModelUnavailable):
            await model.complete(ASKED)
    with pytest.raises(CircuitOpen):
        await model.complete(ASKED)
    assert len(server.requests) == 2

    server.behaviours = [Say("back")]
    await until(lambda: model.statistics().breaker == "half open")
    assert (await model.complete(ASKED)).text == "back"
    assert model.statistics().breaker == "closed"


async def test_a_budget_of_tokens(server: ModelServer, models: list[LanguageModel]) -> None:
    model = model_at(server, models, tokens_per_minute=400, answer_tokens=200)
    server.behaviours = [Say("fine", usage=(150, 50))]
    await model.complete(ASKED)
    with pytest.raises(BudgetSpent, match="400 tokens a minute"):
        await model.complete([Message("user", "and another")])
    assert len(server.requests) == 1
    assert (model.statistics().minute_tokens, model.statistics().breaker) == (200, "closed")


async def test_many_at_once_do_not_overdraw(server: ModelServer, models: list[LanguageModel]) -> None:
    model = model_at(server, models, tokens_per_minute=700, answer_tokens=200)
    calls = [model.complete([Message("user", f"question {number}")]) for number in range(10)]
    outcome = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(one, BudgetSpent) for one in outcome) == 10 - len(server.requests)
    assert 1 <= len(server.requests) <= 3


async def test_a_budget_of_money_and_the_metrics(server: ModelServer, models: list[LanguageModel]) -> None:
    model = model_at(server, models, cost_per_day=0.001, price_in=1.0, price_out=10.0, answer_tokens=50)
    server.behaviours = [Say("fine", usage=(400, 50))]
    await model.complete(ASKED)
    with pytest.raises(BudgetSpent, match=r"0\.001 a day"):
        await model.complete([Message("user", "and another")])
    registry = CollectorRegistry()
    registry.register(ModelCollector(model.statistics))
    page = generate_latest(registry).decode()
    for line in (
        "bank_model_calls_total 1.0",
        'bank_model_tokens_total{kind="prompt"} 400.0',
        'bank_model_tokens_total{kind="completion"} 50.0',
        "bank_model_cost_total 0.0009",
        'bank_model_failures_total{reason="budget_spent"} 1.0',
        "bank_model_circuit_open 0.0",
    ):
        assert line in page.splitlines()


def test_settings() -> None:
    loaded = ModelSettings.load({"OPENAI_API_KEY": "secret", "MODEL_TIMEOUT_S": "2.5", "OPENAI_MODEL": ""})
    assert (loaded.api_key, loaded.timeout_s, loaded.model) == ("secret", 2.5, ModelSettings().model)
    assert "secret" not in repr(loaded)
    assert not LanguageModel(ModelSettings.load({})).enabled
    with pytest.raises(ConfigurationError, match="MODEL_ATTEMPTS"):
        ModelSettings.load({"MODEL_ATTEMPTS": "many"})
    with pytest.raises(ConfigurationError, match="MODEL_COST_PER_DAY"):
        ModelSettings.load({"MODEL_COST_PER_DAY": "1"})


async def test_without_a_key_nothing_is_asked(server: ModelServer, models: list[LanguageModel]) -> None:
    with pytest.raises(ModelError, match="no key"):
        await model_at(server, models, api_key="").complete(ASKED)
    assert server.requests == []


def test_the_library_is_not_loaded_before_it_is_needed() -> None:
    program = "import app, sys; print([name for name in ('openai', 'httpx2', 'pydantic') if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE_S, check=True
    )
    assert done.stdout.strip() == "[]"
