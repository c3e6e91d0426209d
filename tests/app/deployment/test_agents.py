"""Models through the registry, driven: versions come, are tried, promoted and taken back; damaged ones are refused."""

from __future__ import annotations

import zlib
from collections import Counter
from hashlib import sha256
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from app import app
from app.agents.deployment import register
from app.bank import predictions, reviews
from app.commands.models import publication, registries, trained_from_reviews
from app.deployment import SENTIMENT, DamagedError, NaiveBayes, Shelf, decided, pack, unpack
from app.deployment.training import ModelFile, trained
from app.models import ModelOrder, Outcome, Prediction, Promote, Publish, Registry, Retire, Review, Rollback
from app.models.registry import QUALITIES_KEPT, VERSIONS_KEPT, version_key
from app.simulation import DEFAULT_START
from app.simulation.reviews import review
from app.tables import version_quality
from pelton.testing import Driver

TEXTS = [review(7, number, DEFAULT_START) for number in range(300)]


def learned(count: int) -> ModelFile:
    return trained(((one.text, one.label) for one in TEXTS[:count] if one.label is not None), {"topic": "reviews"})


def published(version: str, count: int = 100) -> Publish:
    return publication(SENTIMENT, version, learned(count))


def ask(driver: Driver, order: ModelOrder) -> Outcome:
    outcome: Outcome = msgspec.convert(driver.ask(register, order, key=order.name), Outcome)
    return outcome


def promote(driver: Driver, version: str, stage: Any, share: float = 0.1) -> Outcome:
    return ask(driver, Promote(SENTIMENT, version, stage, 1.0, share))


def said_of(driver: Driver, some: list[Review]) -> list[Prediction]:
    driver.send_many(reviews, [(one.product, one) for one in some])
    return [record.value for record in driver.read(predictions)]


def test_a_version_is_tried_promoted_and_taken_back() -> None:
    with Driver(app) as driver:
        assert said_of(driver, TEXTS[:10]) == []
        assert ask(driver, published("v1")).told.startswith("a candidate of ")
        assert said_of(driver, TEXTS[10:20]) == []
        assert promote(driver, "v1", "production").told == "candidate to production"
        one = said_of(driver, TEXTS[20:60])
        assert {(said.version, said.role) for said in one} == {("v1", "production")}
        learner = learned(100).model.learner()
        by_id = {text.id: text for text in TEXTS}
        for said in one:
            likely = learner.probabilities(by_id[said.subject].text)
            best = max(likely, key=likely.__getitem__)
            assert (said.label, said.confidence) == (best, round(likely[best], 4))
        assert sorted(said.subject for said in one) == sorted(text.id for text in TEXTS[20:60])

        ask(driver, published("v2", 200))
        promote(driver, "v2", "shadow")
        both = Counter((said.version, said.role) for said in said_of(driver, TEXTS[60:100]))
        assert both == {("v1", "production"): 40, ("v2", "shadow"): 40}
        assert promote(driver, "v2", "canary", 0.5).told == "shadow to canary for 50%"
        split = {said.subject: said.version for said in said_of(driver, TEXTS[100:200])}
        assert 30 < Counter(split.values())["v2"] < 70
        assert {said.subject: said.version for said in said_of(driver, TEXTS[100:200])} == split, "it stays"
        promote(driver, "v2", "production")
        assert {said.version for said in said_of(driver, TEXTS[200:250])} == {"v2"}
        assert ask(driver, Rollback(SENTIMENT, 2.0, "worse")).told == "v2 back to v1"
        assert {said.version for said in said_of(driver, TEXTS[250:])} == {"v1"}
        assert not ask(driver, Rollback(SENTIMENT, 3.0)).done
        assert driver.dead_letters() == []

        everything = [record.value for record in driver.read(predictions, again=True)]
        told = driver.request("GET", "/api/models").json()[SENTIMENT]
        for version in told["versions"]:
            ours = [said for said in everything if said.version == version["version"]]
            judged = [said for said in ours if said.truth is not None]
            quality = version["quality"]
            assert (quality["predictions"], quality["judged"]) == (len(ours), len(judged))
            assert quality["right"] == sum(said.label == said.truth for said in judged)
            assert sum(hour["judged"] for hour in quality["hours"]) == len(judged)
            assert sum(quality["mixed"].values()) == len(judged) - quality["right"]
        assert [one["stage"] for one in told["versions"]] == ["retired", "production"]
        assert "v2 back to v1" in driver.request("GET", "/models").text


def tampered(order: Publish, words: dict[str, Any]) -> Publish:
    """Return an order whose artifact is well-packed, and no model."""
    data = zlib.compress(msgspec.json.encode({"kind": "naive-bayes", "words": words}))
    return msgspec.structs.replace(order, artifact=data, sha256=sha256(data).hexdigest())


def test_a_damaged_artifact_is_refused_and_the_old_version_stays() -> None:
    good = published("v2")
    words = learned(100).model.words
    bomb = zlib.compress(b" " * 64_000_000, 9)
    damaged = [
        msgspec.structs.replace(good, artifact=good.artifact[:-10]),
        msgspec.structs.replace(good, sha256="0" * 64),
        msgspec.structs.replace(good, artifact=bomb, sha256=sha256(bomb).hexdigest()),
        msgspec.structs.replace(good, artifact=b"", sha256=sha256(b"").hexdigest()),
        tampered(good, {**words, "good": (9, 9, 9)}),
        tampered(good, {**words, "good": (-1, 0, 0)}),
        tampered(good, {**words, "good": (1e400, 0, 0)}),
        tampered(good, {"__reduce__": ["os.system", "true"]}),
        tampered(good, {}),
    ]
    with Driver(app) as driver:
        ask(driver, published("v1"))
        promote(driver, "v1", "production")
        for order in damaged:
            outcome = ask(driver, order)
            assert not outcome.done
            assert outcome.told.startswith("refused, it is damaged: ")
            assert "was refused" in promote(driver, "v2", "production").told
            assert {said.version for said in said_of(driver, TEXTS[:5])} == {"v1"}
        assert ask(driver, good).done, "what was refused may come again, whole"
        assert not ask(driver, good).done, "a version is published once"
        assert promote(driver, "v2", "production").done
        assert {said.version for said in said_of(driver, TEXTS[:5])} == {"v2"}


def test_predictions_come_once_over_crashes() -> None:
    with Driver(app) as driver:
        ask(driver, published("v1"))
        ask(driver, published("v2", 200))
        promote(driver, "v1", "production")
        for start in range(0, 300, 100):
            driver.send_many(reviews, [(one.product, one) for one in TEXTS[start : start + 100]], settle=False)
            driver.crash(after=30 + start)
            driver.start()
            driver.settle()
            promote(driver, "v2" if start == 0 else "v1", "production")
        found = [record.value for record in driver.read(predictions)]
        assert sorted(said.subject for said in found) == sorted(one.id for one in TEXTS)
        told = driver.request("GET", "/api/models").json()[SENTIMENT]["versions"]
        assert {one["version"]: one["quality"]["predictions"] for one in told} == Counter(one.version for one in found)


class Artifacts(dict[str, bytes]):
    """Rows of a table that may be damaged."""


def test_a_worker_goes_on_with_what_it_can_load() -> None:
    registry, artifacts = Registry(), Artifacts()
    for order in (published("v1"), Promote(SENTIMENT, "v1", "production", 1.0), published("v2", 200)):
        registry = decided(registry, order).registry
    artifacts[version_key(SENTIMENT, "v1")] = published("v1").artifact
    shelf = Shelf(SENTIMENT, lambda _: registry, artifacts)

    def answers() -> str:
        production = shelf.serving().production
        return production.version if production is not None else ""

    assert answers() == "v1"
    registry = decided(registry, Promote(SENTIMENT, "v2", "production", 1.0)).registry
    assert answers() == "v1", "the artifact has not arrived"
    artifacts[version_key(SENTIMENT, "v2")] = published("v2", 200).artifact[:-1] + b"?"
    assert answers() == "v1", "the row is damaged"
    assert Shelf(SENTIMENT, lambda _: registry, artifacts).serving().production is not None, "also after a start"
    artifacts[version_key(SENTIMENT, "v2")] = published("v2", 200).artifact
    assert answers() == "v2"


def test_orders_that_make_no_sense_change_nothing_and_old_versions_go() -> None:
    registry = decided(Registry(), published("v0")).registry
    for order in (
        Promote(SENTIMENT, "v9", "production", 1.0),
        Retire(SENTIMENT, "v9", 1.0),
        Rollback(SENTIMENT, 1.0),
        published("v0"),
    ):
        after = decided(registry, order)
        assert not after.outcome.done
        assert (after.registry.versions, after.gone) == (registry.versions, [])
    registry = decided(registry, Promote(SENTIMENT, "v0", "production", 1.0)).registry
    assert not decided(registry, Retire(SENTIMENT, "v0", 1.0)).outcome.done
    assert not decided(registry, Promote(SENTIMENT, "v0", "shadow", 1.0)).outcome.done
    gone: list[str] = []
    for number in range(1, VERSIONS_KEPT + 5):
        for order in (published(f"v{number}"), Promote(SENTIMENT, f"v{number}", "canary", 1.0)):
            step = decided(registry, order)
            registry, gone = step.registry, gone + step.gone
    assert gone == ["v1", "v2", "v3"]
    assert len(registry.versions) == VERSIONS_KEPT + 2
    production = registry.at("production")
    assert production is not None
    assert production.version == "v0"


def test_a_model_is_trained_from_the_log_and_told_of_over_http() -> None:
    with Driver(app) as driver:
        driver.send_many(reviews, [(one.product, one) for one in TEXTS])
        made = driver.run(trained_from_reviews(500))
        assert (made.model, made.metrics) == (learned(300).model, learned(300).metrics)
        assert made.metrics["accuracy"] > 0.8
        order = msgspec.to_builtins(publication(SENTIMENT, "v1", made))
        told = driver.request("POST", "/api/models", json=order)
        assert (told.status, told.json()["done"]) == (200, True)
        told = driver.request("POST", "/api/models", json=order)
        assert (told.status, told.json()["told"]) == (409, "version v1 exists: publish it under another name")
        bodies: list[Any] = [{}, {"type": "Promote"}, order | {"name": "../x"}, order | {"type": "Exec"}, []]
        for bad in bodies:
            assert driver.request("POST", "/api/models", json=bad).status == 400
        registry = driver.run(registries())[SENTIMENT]
        assert [one.version for one in registry.versions] == ["v1"]
        assert registry.versions[0].lineage["topic"] == "reviews"


def test_an_artifact_is_the_same_bytes_and_comes_back_whole() -> None:
    model = learned(200).model
    assert pack(model) == pack(msgspec.json.decode(msgspec.json.encode(model), type=NaiveBayes))
    assert unpack(*pack(model)) == model
    with pytest.raises(DamagedError, match="sha256"):
        unpack(pack(model).data, pack(learned(100).model).sha256)


def test_of_versions_that_nobody_asks_any_more_the_quality_is_forgotten() -> None:
    with Driver(app) as driver:
        for number in range(QUALITIES_KEPT + 3):
            ts = 3600.0 * (100 + number)
            said = Prediction("r", SENTIMENT, f"v{number}", "production", "positive", 0.9, ts, "positive")
            driver.send(predictions, "one product", said)
        kept = {f"{SENTIMENT}/v{number}" for number in range(3, QUALITIES_KEPT + 3)}
        assert set(version_quality.keys()) == kept
        driver.send(predictions, "one product", replace(said, version="v3", ts=3600.0 * 200))
        driver.send(predictions, "one product", replace(said, version="v999", ts=3600.0 * 200))
        assert kept - set(version_quality.keys()) == {f"{SENTIMENT}/v4"}, "v3 was asked again"
        driver.send(predictions, "one product", replace(said, model="other", ts=3600.0 * 200))
        assert len(version_quality) == QUALITIES_KEPT + 1, "each model has its own"
