"""The scorers: the lexicon, what is learned, aspects, and who is believed; on real labelled text too."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import msgspec
import pytest
from river.naive_bayes import MultinomialNB

from app.commands.judge_sentiment import accuracies, labelled_texts, opinions_on, sample_file
from app.deployment import NaiveBayes
from app.llm import LanguageModel, ModelSettings
from app.models import LABELS, Review
from app.sentiment import CountsInMemory, Learner, aspects_of, polarity, understood, words_of
from app.sentiment.judging import AspectScore, Opinion, Verdict
from app.sentiment.learned import REVIEWS, VOCABULARY, WORDS
from tests.app.llm.model_server import ModelServer, Say
from tests.patience import PATIENCE_S


def review(text: str, **fields: object) -> Review:
    return Review("r1", "app", text, 100.0, **fields)  # type: ignore[arg-type]


def test_what_is_learned_is_what_rivers_naive_bayes_learns() -> None:
    texts = list(labelled_texts(sample_file()))[:300]
    ours, theirs = Learner(CountsInMemory()), MultinomialNB(alpha=1.0)
    for text, label in texts:
        words = words_of(text)
        expected = theirs.predict_proba_one(words)
        found = ours.probabilities(text)
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-12)
        ours.learn(text, label)
        theirs.learn_one(words, label)
    assert len(expected) == len(LABELS)


def test_accuracies_on_the_reviews_of_medicines() -> None:
    texts = list(labelled_texts(sample_file()))
    assert len(texts) == 979
    found = {one.scorer: one for one in accuracies(texts)}
    assert set(found) == {"vader", "learned", "as believed", "always positive"}
    # docs/use-cases.md has these figures.
    assert round(found["vader"].share, 3) == 0.579
    assert round(found["learned"].share, 3) == 0.710
    assert round(found["always positive"].share, 3) == 0.647
    assert found["as believed"].share > found["always positive"].share


async def test_the_row_of_the_model_is_of_what_it_says(server: ModelServer) -> None:
    texts = list(labelled_texts(sample_file()))[:60]
    meant = dict(texts)

    def right_but_for_praise(asked: dict[str, Any]) -> Say:
        text = msgspec.json.decode(asked["messages"][-1]["content"])["text"]
        label = "negative" if meant[text] == "positive" else meant[text]
        return Say(msgspec.json.encode({"label": label, "score": 0, "aspects": []}).decode())

    server.behaviours = [right_but_for_praise]
    model = LanguageModel(ModelSettings(api_key="k", base_url=server.url, timeout_s=PATIENCE_S, attempts=1))
    try:
        opinions = await opinions_on(model, texts)
    finally:
        await model.close()
    found = {one.scorer: one for one in accuracies(texts, opinions)}
    praise = sum(label == "positive" for label in meant.values())
    assert 0 < praise < len(texts) == len(meant) == len(server.requests)
    assert found["model"].right == found["as believed"].right == len(texts) - praise
    assert (found["model"].recalls["positive"], found["model"].recalls["negative"]) == (0.0, 1.0)
    assert "model" not in {one.scorer for one in accuracies(texts)}


def test_words_behind_a_negation_are_others() -> None:
    assert words_of("It is not good, it is bad")["not_good"] == 1
    assert "good" not in words_of("It isn't good")
    assert "good" in words_of("never did anybody see any good")
    assert words_of("GREAT! I love it")["SOUNDS 4"] == 3


def test_aspects_have_scores_of_their_own() -> None:
    found = aspects_of("I love the app, but the fees are terrible. The weather is nice.")
    assert set(found) == {"app", "fees"}
    assert found["app"] > 0 > found["fees"]


def test_who_is_believed() -> None:
    counts = CountsInMemory()
    learner = Learner(counts)
    first = understood(review("It is dreadful", stars=5), Opinion(), learner)
    assert (first.by, first.label, first.labels, first.stars) == (
        "vader",
        "negative",
        {"vader": "negative"},
        "positive",
    )

    for _ in range(30):
        learner.learn("it is dreadful", "positive")
        learner.learn("something else", "negative")
    second = understood(review("It is dreadful"), Opinion(), learner)
    assert (second.by, second.label, second.labels["vader"]) == ("learned", "positive", "negative")
    assert second.score > 0.5

    verdict = Verdict("neutral", 0.1, [AspectScore("fees", -0.5), AspectScore("<script>", 1.0)])
    third = understood(review("It is dreadful"), Opinion(verdict, "gpt"), learner)
    assert (third.by, third.label, third.score, third.aspects) == ("gpt", "neutral", 0.1, {"fees": -0.5})
    failed = understood(review("It is dreadful"), Opinion(why="the budget is spent"), learner)
    assert (failed.by, failed.why) == ("learned", "the budget is spent")


def test_the_rarest_words_are_forgotten_when_there_are_too_many() -> None:
    rng, counts, most = Random(7), CountsInMemory(), 40
    learner = Learner(counts, most)
    seen: Counter[str] = Counter()
    for number in range(200):
        often = rng.choices(["balance", "card", "fee", "loan", "branch"], k=3)
        words = [*often, *("".join(rng.choices("abcdefgh", k=6)) for _ in range(rng.randrange(6)))]
        learner.learn(" ".join(words), rng.choice(LABELS))
        seen.update(words)
        known = {word: one for word, one in counts.items() if word.islower()}
        assert counts[VOCABULARY].total == len([word for word in counts if word not in (REVIEWS, WORDS, VOCABULARY)])
        assert counts[VOCABULARY].total <= most
        assert counts[REVIEWS].total == number + 1
        NaiveBayes.of(counts).check()  # the sums agree with what is left
    assert len(seen) > 5 * most
    assert {word: known[word].total for word in ("balance", "card", "fee", "loan", "branch")} == {
        word: seen[word] for word in ("balance", "card", "fee", "loan", "branch")
    }


@pytest.mark.parametrize("text", ["", "!!!", "\x00\ud7ff", "a" * 5_000, "日本語のレビュー", "not " * 1_200])
def test_any_text_has_a_score(text: str) -> None:
    learner = Learner(CountsInMemory())
    learner.learn(text, "positive")
    assert set(learner.probabilities(text)) == {"positive"}
    assert -1 <= polarity(text) <= 1
