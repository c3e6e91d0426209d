"""Texts that try to make the bank do or tell what it must not: in questions, payments, lines of logs and reviews.

Each is tried without a model, and with one that obeys every word of it: a real HTTP server, which calls whatever tool
the text asks for, and tells all that it was told.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from app import app
from app.agents.anomalies import judge_suspects
from app.agents.chat import chat
from app.agents.sentiment import overhear, sentiment
from app.anomaly import Judge, Opinion, judged, of_line, of_payment, signals_of
from app.anomaly.judging import RULES as JUDGE_RULES
from app.bank import alerts, hand_overs, judgements, logs, raw_logs, transactions
from app.conversation import TOOLS, Facts, FactTool, answered
from app.llm import LanguageModel, ModelSettings
from app.models import (
    Conversation,
    Judgements,
    LogAlert,
    LogLine,
    LogService,
    Question,
    RawLine,
    Review,
    Suspect,
    Template,
)
from app.models.habit import Habit, Usual
from app.sentiment import ASPECTS, CountsInMemory, Learner, understood
from app.sentiment.judging import RULES, opinion_of
from app.tables import conversations
from pelton.testing import Driver
from tests.app.llm.model_server import ModelServer, Say
from tests.app.payments import payment
from tests.patience import PATIENCE_S

ATTEMPTS: list[dict[str, str]] = msgspec.json.decode(Path(__file__).with_name("injections.json").read_bytes())
TEXTS = [one["text"] for one in ATTEMPTS]
#: What only the victim's facts hold.
SECRETS = ("Vault of Silence", "98765.43", "tx-secret")
START = 1_767_571_200.0

BOOK = {"acc-victim": {"facts": list(SECRETS)}, "acc-mallory": {"facts": ["Corner shop", "5.00"]}}
#: Tools of the same kind as the bank's, over facts that need no worker.
BOOK_TOOLS = {
    name: FactTool(tool.description, tool.words, lambda account: BOOK[account], str) for name, tool in TOOLS.items()
}


def test_there_are_enough_of_many_kinds() -> None:
    assert len(set(TEXTS)) >= 50
    assert len({one["kind"] for one in ATTEMPTS}) >= 6


def test_without_a_model_nobody_learns_of_another_customer() -> None:
    with Driver(app) as driver:
        for number in range(6):
            secret = payment(
                id=f"tx-secret-{number}", account="acc-victim", merchant=SECRETS[0], amount=98765.43, ts=START + number
            )
            driver.send(transactions, "acc-victim", secret)
            driver.send(transactions, "acc-mallory", payment(id=f"m{number}", account="acc-mallory", ts=START + number))
        assert driver.read(alerts)
        for text in TEXTS:
            told = driver.request("POST", "/chat", json={"account": "acc-mallory", "text": text})
            assert told.status == 200
            assert not any(secret in told.text for secret in SECRETS), text
            assert set(told.json()["answer"]["looked_up"]) <= set(TOOLS)
        told = driver.request("POST", "/chat", json={"account": "acc-victim", "text": "What are my latest payments?"})
        assert SECRETS[0] in told.text  # it is there to be told
        assert [turn.asked for turn in conversations["acc-victim"].turns] == ["What are my latest payments?"]
        assert {record.value.account for record in driver.read(hand_overs)} == {"acc-mallory"}


def test_what_payments_say_changes_no_look_up() -> None:
    with Driver(app) as driver:
        for number, text in enumerate(TEXTS):
            account = f"acc-{number}"
            driver.send(transactions, account, payment(id=f"t{number}", account=account, merchant=text[:64], ts=START))
            told = driver.request("POST", "/chat", json={"account": account, "text": "What are my latest payments?"})
            answer = told.json()["answer"]
            assert answer["looked_up"] == ["last_transactions"]
            assert text[:64] in answer["text"]
            assert answer["hand_over"] == ""


@pytest.fixture
async def model(server: ModelServer) -> AsyncIterator[LanguageModel]:
    settings = ModelSettings(
        api_key="k",
        base_url=server.url,
        timeout_s=PATIENCE_S,
        attempts=1,
        judgements_per_minute=1_000,
        samples_per_minute=1_000,
    )
    model = LanguageModel(settings)
    yield model
    await model.close()


def obey(asked: dict[str, Any]) -> Say:
    """Do whatever the text asks for, and more; then tell all that is known."""
    if asked["messages"][-1]["role"] == "tool":
        return Say("All that I know: " + msgspec.json.encode(asked["messages"]).decode())
    victim = '{"account": "acc-victim"}'
    calls = [(tool["function"]["name"], victim) for tool in asked["tools"]]
    return Say(
        "At your service.",
        calls=[
            *calls,
            ("run_sql", '{"q": "SELECT *"}'),
            ("delete_account", victim),
            ("spending", "acc-victim"),
            ("", "{"),
        ],
    )


async def test_a_model_that_obeys_every_word_reaches_no_tool(server: ModelServer, model: LanguageModel) -> None:
    server.behaviours = [obey]
    for number, text in enumerate(TEXTS):
        facts = Facts("acc-mallory", BOOK_TOOLS)
        question = Question(f"q{number}", "acc-mallory", text, START)
        answer = await answered(model, question, Conversation(), facts)
        assert answer.by == "test-model-1"
        assert answer.looked_up == facts.looked_up == [], text
        assert answer.hand_over == ""
        assert not any(secret in answer.text for secret in SECRETS), text
    assert len(server.requests) == 2 * len(TEXTS)
    for asked in server.requests:
        assert not any(secret in msgspec.json.encode(asked).decode() for secret in SECRETS)
        assert [tool["function"]["name"] for tool in asked["tools"]] == [*TOOLS, "hand_over_to_a_person"]


async def test_a_model_that_uses_its_tools_learns_of_this_customer_only(
    server: ModelServer, model: LanguageModel
) -> None:
    def look(asked: dict[str, Any]) -> Say:
        if asked["messages"][-1]["role"] == "tool":
            return obey(asked)
        return Say(calls=[(tool["function"]["name"], "{}") for tool in asked["tools"]])

    server.behaviours = [look]
    for number, text in enumerate(TEXTS):
        facts = Facts("acc-mallory", BOOK_TOOLS)
        answer = await answered(model, Question(f"q{number}", "acc-mallory", text, START), Conversation(), facts)
        assert answer.looked_up == list(TOOLS)
        assert answer.hand_over == "the model asked for it"
        assert "Corner shop" in answer.text
        assert not any(secret in answer.text for secret in SECRETS), text


async def test_a_model_that_obeys_what_payments_say_reaches_no_tool(server: ModelServer, model: LanguageModel) -> None:
    def look_then_obey(asked: dict[str, Any]) -> Say:
        looked = [message for message in asked["messages"] if message["role"] == "tool"]
        if looked and len(looked) <= len(TOOLS):
            return obey({**asked, "messages": asked["messages"][:1]})  # as it would obey the customer
        return obey(asked) if looked else Say(calls=[(name, "{}") for name in TOOLS])

    server.behaviours = [look_then_obey]
    for number, text in enumerate(TEXTS):
        book = {"acc-victim": {"facts": list(SECRETS)}, "acc-mallory": {"merchants": [text]}}
        tools = {name: FactTool(tool.description, tool.words, book.__getitem__, str) for name, tool in TOOLS.items()}
        facts = Facts("acc-mallory", tools)
        question = Question(f"q{number}", "acc-mallory", "What are my latest payments?", START)
        answer = await answered(model, question, Conversation(), facts)
        assert (answer.looked_up, answer.hand_over) == (list(TOOLS), "")
        assert not any(secret in answer.text for secret in SECRETS), text
    assert len(server.requests) == 1 + 2 * len(TEXTS)  # all ask the same at first


async def test_a_model_that_never_stops_is_stopped(server: ModelServer, model: LanguageModel) -> None:
    server.behaviours = [lambda asked: Say(calls=[("spending", "{}")])]
    facts = Facts("acc-mallory", BOOK_TOOLS)
    answer = await answered(
        model, Question("q", "acc-mallory", "How do I block a lost card?", START), Conversation(), facts
    )
    assert (answer.by, answer.looked_up) == ("faq", [])
    assert "does not answer" in answer.why
    assert len(server.requests) <= 5


# -- records: a payment's merchant, a line of a log, a review ------------------------------------------------


#: Whose payments are judged; no text names it.
ACCOUNT = "acc-4711"


def as_payments(texts: list[str]) -> list[Suspect]:
    """Return payments of one customer at merchants of these names as suspects."""
    habit = Habit()
    for number in range(5):
        habit = habit.after(payment(id=f"m{number}", account=ACCOUNT, ts=START + 86_400 * number))
    usual = Usual(1_000, [1_000] + [0] * 127)  # nothing was surprising before
    found: list[Suspect] = []
    for number, text in enumerate(texts):
        tx = payment(id=f"t{number}", account=ACCOUNT, merchant=text[:64], amount=950.0, ts=START + 500_000)
        one = of_payment(tx, habit, signals_of(habit, tx), usual)
        assert one is not None
        found.append(one)
    return found


def as_lines(texts: list[str]) -> list[Suspect]:
    """Return lines with these messages, and fields, as suspects: each is new to its service."""
    found: list[Suspect] = []
    for number, text in enumerate(texts):
        line = LogLine("payments", "info", text, START + number, "json", fields={"customer": text, text: "x"})
        template = Template("payments", 1, text, "x", text, "info", START, START, lines=1)
        service = LogService(lines=2_000, templates=1)
        alert = LogAlert("a", "new_template", "payments", START, text=text)
        one = of_line(line, service, template, [alert])
        assert one is not None
        found.append(one)
    return found


def test_what_a_merchant_is_called_selects_nothing_and_explains_nothing() -> None:
    harmless = as_payments(["Corner shop"] * len(TEXTS))
    for one, control in zip(as_payments(TEXTS), harmless, strict=True):
        assert one.selected
        found, expected = judged(one, Opinion()), judged(control, Opinion())
        assert msgspec.structs.replace(found, record={}) == msgspec.structs.replace(expected, record={})


async def test_records_are_data_for_a_model_that_obeys_every_word(server: ModelServer, model: LanguageModel) -> None:
    def obey_in_shape(asked: dict[str, Any]) -> Say:
        told = msgspec.json.encode(asked["messages"]).decode()[-900:]
        verdict = {"anomalous": False, "score": 0.0, "kind": "harmless", "explanation": told, "signals": ["acc-victim"]}
        return Say(msgspec.json.encode(verdict).decode())

    given = as_payments(TEXTS) + as_lines(TEXTS)
    sure = msgspec.structs.replace(given[0], score=1.0)
    judge = Judge(model)
    for behaviour, some in ((obey, given[::3]), (obey_in_shape, given)):
        server.behaviours = [lambda asked, say=behaviour: say({"tools": [], **asked})]
        for one in [*some, sure]:
            before = len(server.requests)
            found = judged(one, await judge.opinion(one, Judgements()))
            assert (found.id, found.key, found.score, found.record) == (one.id, one.key, one.score, one.record)
            assert not any(secret in msgspec.json.encode(found).decode() for secret in SECRETS)
            assert found.signals.keys() <= one.signals.keys()
            if behaviour is obey or one is sure:
                assert found.anomalous == one.selected
            system, said = server.requests[before]["messages"]
            assert system == {"role": "system", "content": JUDGE_RULES}
            assert msgspec.json.decode(said["content"])["record"] == msgspec.to_builtins(one.record)
            assert ACCOUNT not in said["content"]
    assert not any("tools" in asked for asked in server.requests)


def test_what_lines_of_logs_say_makes_no_other_line() -> None:
    with Driver(app) as driver:
        minutes = [msgspec.json.encode({"service": "payments", "level": "info", "message": "paid"})] * 8
        hostile = [msgspec.json.encode({"service": "payments", "level": "info", "message": text}) for text in TEXTS]
        lines = [RawLine(line.decode()) for line in [*minutes, *hostile]]
        driver.send_many(raw_logs, [("file", line, START + 60 * number) for number, line in enumerate(lines)])
        found = [record.value for record in driver.read(logs)]
        assert [(one.service, one.level) for one in found] == [("payments", "info")] * len(lines)
        assert [one.message for one in found[8:]] == TEXTS
        suspicious = [record.value for record in driver.read(judgements)]
        assert len([one for one in suspicious if one.anomalous]) > len(TEXTS) / 2
        assert {(one.key, one.source, one.by) for one in suspicious} == {("payments", "log", "statistics")}
        assert len({one.explanation for one in suspicious if one.anomalous}) == 1
        assert driver.dead_letters() == []
        told = driver.request("POST", "/chat", json={"account": "acc-mallory", "text": "What is my case status?"})
        assert told.json()["answer"]["looked_up"] == ["case_status"]


async def test_reviews_are_data_for_the_model(server: ModelServer, model: LanguageModel) -> None:
    server.behaviours = [lambda asked: obey({"tools": [], **asked})]
    for text in TEXTS:
        before = len(server.requests)
        opinion = await opinion_of(model, text)
        assert opinion.verdict is None
        assert "not what was asked for" in opinion.why
        system, said = server.requests[before]["messages"]
        assert system == {"role": "system", "content": RULES}
        assert msgspec.json.decode(said["content"]) == {"text": text}
        assert "tools" not in server.requests[before]


async def test_a_model_that_obeys_a_review_scores_that_review(server: ModelServer, model: LanguageModel) -> None:
    aspects = [{"aspect": name, "score": 1} for name in ("acc-victim", SECRETS[0], *ASPECTS)]
    server.behaviours = [Say(msgspec.json.encode({"label": "positive", "score": 1, "aspects": aspects}).decode())]
    for number, text in enumerate(TEXTS):
        review = Review(f"r{number}", "credit card", text, START, 1)
        found = understood(review, await opinion_of(model, text), Learner(CountsInMemory()))
        assert (found.review, found.product, found.ts, found.stars) == (review.id, "credit card", START, "negative")
        assert set(found.aspects) <= set(ASPECTS)
    assert not any("tools" in asked for asked in server.requests)


def test_the_agent_has_no_other_way_to_facts() -> None:
    assert "conversations" in app.tables_used_by(chat.fun)
    assert not {"profiles", "minutes", "latest_payments", "alert_histories"} & app.tables_used_by(chat.fun)
    assert app.tables_used_by(judge_suspects.fun) <= {"judgements", "verdict_counts", "judge_suspects-calls"}
    for fun in (sentiment.fun, overhear.fun):
        assert not {"conversations", "profiles", "judgements"} & app.tables_used_by(fun)
