"""What is made of a suspect, with a model behind real HTTP that answers, babbles, throttles, hangs and refuses."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest

from app.anomaly import Judge, judged
from app.anomaly.judging import RULES
from app.llm import LanguageModel, ModelSettings
from app.models import Feedback, Judgement, Judgements, Suspect
from tests.app.anomaly.suspects import suspect
from tests.app.llm.model_server import (
    ModelServer,
    Say,
    breaking_off,
    dripping,
    failing,
    hanging,
    talking_nonsense,
)
from tests.patience import PATIENCE_S

FRAUD = '{"anomalous": true, "score": 0.9, "kind": "fraud", "explanation": "Far too much.", "signals": ["amount", "x"]}'
HARMLESS = '{"anomalous": false, "score": 0.1, "kind": "harmless", "explanation": "A sofa.", "signals": []}'


@pytest.fixture
async def judges(server: ModelServer) -> AsyncIterator[Callable[..., Judge]]:
    models: list[LanguageModel] = []

    def make(**settings: Any) -> Judge:
        given = {"api_key": "k", "base_url": server.url, "model": "m", "timeout_s": PATIENCE_S, "attempts": 2}
        models.append(LanguageModel(ModelSettings(**(given | settings))))
        return Judge(models[-1])

    yield make
    for model in models:
        await model.close()


async def judgement(judge: Judge, one: Suspect, earlier: Judgements | None = None) -> Judgement:
    return judged(one, await judge.opinion(one, earlier or Judgements()))


async def test_the_model_explains_and_both_scores_are_there(server: ModelServer, judges: Callable[..., Judge]) -> None:
    server.behaviours = [Say(FRAUD), Say(HARMLESS)]
    judge = judges()
    first = await judgement(judge, suspect())
    assert (first.anomalous, first.score, first.model_score, first.kind) == (True, 0.997, 0.9, "fraud")
    assert (first.explanation, first.by, first.why) == ("Far too much.", "m", "")
    assert first.signals == {"amount": 12.5}  # "x" is no signal of it
    asked = server.requests[0]
    assert asked["messages"][0] == {"role": "system", "content": RULES}
    assert asked["response_format"]["json_schema"]["strict"] is True
    assert "tools" not in asked

    told = Judgements().with_judgement(first).with_feedback(Feedback(first.id, first.key, right=False, ts=1.0))
    second = await judgement(judge, suspect(id="payment:tx-2"), told)
    assert (second.anomalous, second.model_score, second.kind) == (False, 0.1, "harmless")
    heard = msgspec.json.decode(server.requests[1]["messages"][1]["content"])["earlier_judgements"]
    assert heard == [{"score": 0.997, "anomalous": True, "people_said": "wrong"}]


async def test_what_statistics_are_sure_of_is_not_talked_away(
    server: ModelServer, judges: Callable[..., Judge]
) -> None:
    server.behaviours = [Say(HARMLESS)]
    found = await judgement(judges(), suspect(score=0.9999))
    assert (found.anomalous, found.model_score) == (True, 0.1)
    assert found.why == "the model finds it harmless, statistics are sure"


async def test_a_sample_is_judged_and_may_be_an_alert(server: ModelServer, judges: Callable[..., Judge]) -> None:
    server.behaviours = [Say(FRAUD)]
    one = suspect(selected=False, score=0.4)
    assert (await judgement(judges(), one)).anomalous
    without = await judgement(judges(api_key=""), one)
    assert (without.anomalous, without.by, without.why) == (False, "statistics", "there is no model")


@pytest.mark.parametrize(
    ("trouble", "why"),
    [
        (failing(429, retry_after_ms="1"), "429"),
        (failing(500), "500"),
        (failing(401), "401"),
        (breaking_off, "cannot be reached"),
        (talking_nonsense, ""),
        (Say('{"anomalous": "perhaps"'), "not what was asked for"),
        (Say(FRAUD.replace("0.9", "9")), "not what was asked for"),
        (Say(calls=[("transfer_money", "{}")]), "not what was asked for"),
        (Say(refusal="I will not."), "I will not."),
        (Say("As I", finish="content_filter"), ""),
    ],
)
async def test_statistics_judge_when_the_model_misbehaves_and_say_why(
    server: ModelServer, judges: Callable[..., Judge], trouble: Any, why: str
) -> None:
    server.behaviours = [trouble]
    found = await judgement(judges(), suspect())
    assert (found.by, found.anomalous, found.model_score) == ("statistics", True, None)
    told = "More surprising than 99.70% of the payments before: amount (12.5 bits), channel (3 bits)."
    assert found.explanation == told
    assert found.why
    assert why in found.why


@pytest.mark.parametrize("trouble", [hanging, dripping])
async def test_nobody_waits_for_ever(server: ModelServer, judges: Callable[..., Judge], trouble: Any) -> None:
    server.behaviours = [trouble]
    found = await judgement(judges(timeout_s=0.5), suspect())
    assert (found.by, found.anomalous) == ("statistics", True)
    assert "within 0.5 s" in found.why


async def test_a_minute_has_so_many_judgements_and_the_sample_its_own(
    server: ModelServer, judges: Callable[..., Judge]
) -> None:
    server.behaviours = [Say(FRAUD)]
    judge = judges(judgements_per_minute=3, samples_per_minute=1)
    sources = ["payment", "log", "device"] * 2  # they share one allowance
    several = [
        suspect(id=f"{source}:{number}", source=source, record={"amount": float(number)})
        for number, source in enumerate(sources)
    ]
    found = [await judgement(judge, one) for one in several]
    assert [one.by for one in found] == ["m"] * 3 + ["statistics"] * 3
    assert {one.why for one in found[3:]} == {"the judgements of this minute are spent"}
    assert all(one.anomalous for one in found)
    sampled = [await judgement(judge, msgspec.structs.replace(one, selected=False)) for one in several[:2]]
    assert [one.by for one in sampled] == ["m", "statistics"]
    assert len(server.requests) == 4
