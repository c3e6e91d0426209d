"""Conversations, driven: answers from the FAQ and the customer's own facts, in order, once, whatever dies between."""

from __future__ import annotations

import pytest

from app import app
from app.agents.chat import CALL_S
from app.bank import cases, chat_replies, hand_overs, person_answers, questions, transactions
from app.bank import model as bank_model
from app.conversation import Facts, FactTool, answered
from app.conversation.faq import best
from app.llm import LanguageModel, ModelSettings
from app.models import Conversation, Question
from app.pages.chat import ANSWER_S
from app.tables import conversations, latest_payments
from pelton.testing import Driver
from tests.app.llm.model_server import ModelServer, Say, hanging
from tests.app.payments import payment
from tests.patience import PATIENCE_S

START = 1_767_571_200.0


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("I lost my card, what now?", "lost or stolen card"),
        ("somebody stole my credit card", "lost or stolen card"),
        ("how much does it cost to get cash abroad", "withdrawing cash abroad"),
        ("How long until my transfer arrives?", "How long does a transfer take"),
        ("I forgot my password", "forgot my password"),
        ("Which interest do you pay on savings?", "interest do savings pay"),
        ("I want to close the account", "close my account"),
        ("Is there a deposit guarantee?", "Is my money safe"),
    ],
)
def test_the_faq(asked: str, found: str) -> None:
    entry = best(asked)
    assert entry is not None
    assert found in entry[0].q


@pytest.mark.parametrize("asked", ["What is the meaning of life?", "", "!!!", "hello", "日本語"])
def test_what_the_faq_does_not_know(asked: str) -> None:
    assert best(asked) is None


def test_answers_say_who_gave_them_and_what_was_looked_up() -> None:
    with Driver(app) as driver:

        def ask(text: str) -> dict[str, object]:
            answer = driver.request("POST", "/chat", json={"account": "acc-1", "text": text})
            assert answer.status == 200
            found: dict[str, object] = answer.json()["answer"]
            return found

        assert ask("Is any of my payments suspicious?")["text"] == (
            "There are no recent payments. There is no case: none of your payments looked suspicious."
        )
        for number in range(6):
            driver.send(transactions, "acc-1", payment(id=f"t{number}", ts=START + number))
        case = ask("What is the status of my case?")
        assert (case["looked_up"], case["by"]) == (["case_status"], "faq")
        (opened,) = [record.value for record in driver.read(cases)]
        assert opened.transactions == ["t4"]
        assert str(case["text"]).startswith(
            "Your latest case was opened at 2026-01-05 00:00 UTC, because of: velocity."
        )
        assert "the payments t4; the last of them" in str(case["text"])
        assert "usually about 20.00 EUR, in DE" in str(ask("How much do I usually spend?")["text"])
        driver.send(
            transactions, "acc-1", payment(id="t6", ts=START + 60, amount=7.5, merchant="Kiosk", currency="USD")
        )
        driver.send(transactions, "acc-1", payment(id="t7", ts=START - 60, amount=3.0))  # it comes late
        assert ask("What did I pay last?")["text"] == (
            "Your latest payments: "
            + "2026-01-05 00:00 UTC: 20.00 EUR at Bakery; " * 4
            + "2026-01-05 00:01 UTC: 7.50 USD at Kiosk."
        )
        for number in range(8, 14):
            driver.send(transactions, "acc-1", payment(id=f"t{number}", ts=START + 600 * number))
        kept = [f"t{number}" for number in (3, 4, 5, 6, 8, 9, 10, 11, 12, 13)]
        assert [one.id for one in latest_payments["acc-1"].payments] == kept
        assert "no account for cash" in str(ask("What is my balance?")["text"])
        driver.request("POST", "/accounts/acc-1/open", json={"owner": "Ann"})
        driver.request("POST", "/accounts/acc-1/deposit", json={"amount_cents": 12_345})
        assert "its balance is 123.45 EUR" in str(ask("What is my balance?")["text"])
        assert "Block it at once" in str(ask("How do I block a lost card?")["text"])
        assert driver.read(hand_overs) == []

        assert ask("Let me talk to a person")["hand_over"] == "the customer wants a person"
        assert ask("What is the meaning of life?")["hand_over"] == "there is no answer in the FAQ"
        (waiting,) = driver.request("GET", "/api/chat/waiting").json()["waiting"]
        assert (waiting["account"], waiting["why"]) == ("acc-1", "there is no answer in the FAQ")
        assert [record.value.reason for record in driver.read(hand_overs)] == [
            "the customer wants a person",
            "there is no answer in the FAQ",
        ]
        turns = driver.request("GET", "/api/chat?account=acc-1").json()["turns"]
        assert len(turns) == 9
        assert turns[-1]["asked"] == "What is the meaning of life?"


def test_a_person_goes_on_where_the_machine_could_not() -> None:
    with Driver(app) as driver:
        for account in ("acc-1", "acc-2"):
            driver.request("POST", "/chat", json={"account": account, "text": "Let me talk to a person"})
            driver.advance(1)
        waiting = driver.request("GET", "/api/chat/waiting").json()["waiting"]
        assert [one["account"] for one in waiting] == ["acc-1", "acc-2"]  # the longest wait first

        said = driver.request("POST", "/api/chat/person", json={"account": "acc-1", "text": "Good day, I am Eve."})
        assert said.status == 202
        (record,) = driver.read(person_answers)
        assert record.key == "acc-1"
        (left,) = driver.request("GET", "/api/chat/waiting").json()["waiting"]
        assert left["account"] == "acc-2"
        again = driver.request("POST", "/api/chat/person", json={"account": "acc-1", "text": "Still here?"})
        assert (again.status, driver.read(person_answers)) == (409, [])

        found = driver.request("GET", "/api/chat?account=acc-1").json()
        last = found["turns"][-1]
        assert (found["waits_for_person"], last["asked"], last["by"]) == ("", "", "a person")
        assert last["answered"] == "Good day, I am Eve."
        driver.send(person_answers, "acc-1", record.value)  # sent again: said once
        assert len(driver.request("GET", "/api/chat?account=acc-1").json()["turns"]) == 2


def test_refusals() -> None:
    with Driver(app) as driver:
        for bad in ({}, {"account": "a"}, {"account": "", "text": "x"}, {"account": "a", "text": "x" * 2_001}, []):
            assert driver.request("POST", "/chat", json=bad).status == 400
            assert driver.request("POST", "/api/chat/person", json=bad).status == 400


def test_each_question_is_answered_once_in_order_over_crashes() -> None:
    sent = [
        Question(f"q{number}", f"acc-{number % 7}", f"How do I block card {number}?", START + number)
        for number in range(60)
    ]
    with Driver(app) as driver:
        for start in range(0, len(sent), 20):
            driver.send_many(questions, [(one.account, one) for one in sent[start : start + 20]], settle=False)
            driver.crash(after=25 + 3 * start)
            driver.start()
            driver.settle()
        answers = [record.value for record in driver.read(chat_replies)]
        assert sorted(one.question for one in answers) == sorted(one.id for one in sent)
        for account in {one.account for one in sent}:
            turns = [turn.question for turn in conversations[account].turns]
            assert turns == [one.id for one in sent if one.account == account]


async def test_all_rounds_of_a_model_have_one_time_then_the_faq_answers_and_says_why(server: ModelServer) -> None:
    server.behaviours = [Say("Let me see.", calls=[("facts", "{}")]), hanging]
    settings = ModelSettings(api_key="k", base_url=server.url, timeout_s=10 * PATIENCE_S, conversation_s=1.0)
    model, pieces = LanguageModel(settings), list[str | None]()
    facts = Facts("acc-1", {"facts": FactTool("Facts.", frozenset(), lambda account: {"account": account}, str)})
    question = Question("q1", "acc-1", "How do I block a lost card?", START)
    answer = await answered(model, question, Conversation(), facts, pieces.append)
    await model.close()
    assert (answer.by, answer.why, answer.looked_up) == ("faq", "the model had no answer within 1 s", [])
    assert "Block it at once" in answer.text
    assert pieces[-1] is None
    assert ANSWER_S > CALL_S > bank_model.settings.conversation_s


def test_a_client_waits_as_long_as_it_likes() -> None:
    with Driver(app) as driver:
        asked = {"account": "acc-1", "text": "How do I block a lost card?"}
        answer = driver.request("POST", "/chat", json=asked, headers={"Prefer": "wait=0"})
        assert (answer.status, answer.json()["answer"]) == (202, None)
        driver.settle()
        (turn,) = driver.request("GET", "/api/chat?account=acc-1").json()["turns"]
        assert turn["question"] == answer.json()["id"]
