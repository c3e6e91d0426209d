"""Conversations through the agents, driven: what is taken in, once, and what is learned from it and deployed."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

from app import app
from app.agents.teaching import LESSONS_EVERY, label_for
from app.agents.training import RATING_S
from app.bank import conversation_events, dataset, training_directory
from app.deployment import HELPFUL, NaiveBayes, pack
from app.deployment.artifacts import label_of
from app.models.training import Consent, ConversationEvent, Example, Exchange, Rating
from app.sentiment import CountsInMemory, Learner
from app.simulation.questions import asked
from app.training import pseudonym, redacted, split_of
from app.training.checking import faults
from app.training.files import manifests
from app.training.view import homes
from pelton.testing import Driver

START = 1_704_067_200.0


@pytest.fixture(autouse=True)
def directory() -> Iterator[Path]:
    shutil.rmtree(training_directory, ignore_errors=True)
    yield training_directory
    shutil.rmtree(training_directory, ignore_errors=True)


def send(driver: Driver, *events: ConversationEvent, settle: bool = True) -> None:
    driver.send_many(conversation_events, [(one.account, one) for one in events], settle=settle)


def taken_in(driver: Driver) -> list[Example]:
    return [record.value for record in driver.read(dataset)]


def exchange(
    question: str, account: str = "ann", text: str = "What does a card cost abroad?", why: str = ""
) -> Exchange:
    return Exchange(account, question, text, f"It costs nothing, said {question}.", "faq", START, why)


def test_what_is_taken_in_and_when() -> None:
    with Driver(app) as driver:
        send(driver, exchange("q1"))
        send(driver, Consent("ann", True, START), exchange("q2", why="the customer wants a person"), exchange("q3"))
        assert taken_in(driver) == [], "a rating is waited for"
        send(driver, Rating("bob", "q3", False, START))
        assert taken_in(driver) == [], "it is another customer's"
        send(driver, Rating("ann", "q3", True, START), Rating("ann", "q3", False, START))
        (one,) = taken_in(driver)
        assert (one.question, one.helpful, one.customer) == ("q3", True, pseudonym("ann"))
        assert "ann" not in msgspec.json.encode(one).decode().replace("channel", "")
        assert one.split == split_of(one.customer)

        send(driver, exchange("q4", text="I am ann@example.com. How do I close my account?"))
        driver.advance(RATING_S + 60)
        (one,) = taken_in(driver)
        assert (one.helpful, one.asked) == (None, "I am <MAIL>. How do I close my account?")
        assert one.redacted == {"mail": 1}
        send(driver, exchange("q5", text="I am bob@example.org. How do I close my account?"))
        driver.advance(RATING_S + 60)
        assert taken_in(driver) == [], "nearly the same as before"

        send(driver, exchange("q6", text="Why is it raining?"), Consent("ann", False, START))
        send(driver, Rating("ann", "q6", True, START), exchange("q7", text="Who are you?"))
        driver.advance(RATING_S + 60)
        assert taken_in(driver) == []
        assert driver.request("GET", "/api/training").json()["counts"] == {
            "a person went on": 1,
            "consent taken back": 1,
            "foretold": 0,
            "lessons": 1,
            "near-duplicate": 1,
            "no consent": 2,
            "redacted: mail": 1,
            "taken in": 2,
        }
        assert driver.dead_letters() == []


def test_ways_in_and_what_a_conversation_comes_to() -> None:
    with Driver(app) as driver:
        bad: list[tuple[str, Any]] = [("consent", {"account": "ann", "given": 1}), ("rating", {"account": "ann"})]
        for path, body in [*bad, ("consent", [])]:
            assert driver.request("POST", f"/chat/{path}", json=body).status == 400
        assert driver.request("POST", "/chat/consent", json={"account": "ann", "given": True}).status == 202
        found = driver.request("POST", "/chat", json={"account": "ann", "text": "I lost my card, what now?"}).json()
        better = {"account": "ann", "question": found["id"], "helpful": False, "better": "Call +49 30 1234567 at once."}
        assert driver.request("POST", "/chat/rating", json=better).status == 202
        (one,) = taken_in(driver)
        assert (one.asked, one.answered) == ("I lost my card, what now?", "Call <PHONE> at once.")
        assert (one.by, one.helpful) == ("person", True)


def conversations(count: int) -> list[ConversationEvent]:
    """Return what customers say, all of whom agree, in the order of time."""
    events: list[ConversationEvent] = []
    for number in range(count):
        account, text, helpful = asked(7, number)
        events.append(Consent(account, True, START + number))
        events.append(Exchange(account, f"q{number}", text, f"Answer to {text}", "faq", START + number))
        if helpful is not None:
            events.append(Rating(account, f"q{number}", helpful, START + number))
    return events


def published_by_plain_python(rows: list[Example]) -> list[tuple[str, str, dict[str, float]]]:
    """Return version, hash and metrics of each model that the data leads to. Row n is at offset n."""
    counts, seen, right, versions = CountsInMemory(), 0, 0, list[tuple[str, str, dict[str, float]]]()
    learner = Learner(counts)
    for offset, row in enumerate(rows):
        if row.helpful is None:
            continue
        meant = label_for(row.helpful)
        right += label_of(learner, row.asked)[0] == meant
        learner.learn(row.asked, meant)
        seen += 1
        if seen % LESSONS_EVERY == 0:
            metrics = {"texts": float(seen), "accuracy": round(right / seen, 4)}
            versions.append((f"d{offset}", pack(NaiveBayes.of(counts)).sha256, metrics))
    assert len(versions) > 1
    return versions


def test_each_exchange_is_in_the_files_once_over_crashes_and_a_model_comes_of_it() -> None:
    events = conversations(150)
    with Driver(app) as driver:
        for start in range(0, len(events), 125):
            send(driver, *events[start : start + 125], settle=False)
            driver.crash(after=40 + start)
            driver.start()
            driver.settle()
        driver.advance(RATING_S + 120)
        rows = taken_in(driver)
        counts = driver.request("GET", "/api/training").json()["counts"]
        assert counts["taken in"] == len(rows)
        assert counts["taken in"] + counts.get("near-duplicate", 0) == 150
        assert len({row.question for row in rows}) == len(rows) > 100

        ((_, home),) = homes().items()
        assert list(faults(home, training_directory / "parquet")) == []
        last, _ = manifests(home)[-1]
        assert last.totals["rows"] == len(rows)
        assert {split: last.totals.get(split, 0) for split in ("train", "validation", "test")} == {
            split: sum(row.split == split for row in rows) for split in ("train", "validation", "test")
        }
        lines = [line for path in home.glob("v*/*.jsonl") for line in path.read_bytes().splitlines()]
        said = Counter(msgspec.json.decode(line)["messages"][1]["content"] for line in lines)
        assert said == Counter(row.asked for row in rows if row.teaches)
        assert all(redacted(text)[0] == text for text in said)
        frame = pl.read_parquet(training_directory / "parquet" / "*.parquet")
        assert sorted(frame["question"]) == sorted(row.question for row in rows)

        told = driver.request("GET", "/api/models").json()[HELPFUL]["versions"]
        versions = published_by_plain_python(rows)
        assert [(one["version"], one["sha256"], one["metrics"]) for one in reversed(told)] == versions
        assert [one["stage"] for one in told] == ["shadow"] + ["retired"] * (len(versions) - 1)
        answer = driver.request("POST", "/chat", json={"account": "acc-00001", "text": "What is my balance?"}).json()
        send(driver, Rating("acc-00001", answer["id"], True, START))
        quality = driver.request("GET", "/api/models").json()[HELPFUL]["versions"][0]["quality"]
        assert (quality["predictions"], quality["judged"]) == (1, 1)
        assert "v000001" in driver.request("GET", "/training").text
        assert driver.dead_letters() == []
