"""Deploy models through the log: `register` decides, `predict` swaps between two batches, `judge` counts who is right.

An order (publish, promote, retire, roll back) is a record of the topic `models`, keyed by the model's name. What it
leads to is in two tables that every worker holds. A batch is answered by one set of versions, those that are there when
it begins, and each prediction says by which.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from app.bank import app, model_orders, model_outcomes, predictions, reviews
from app.deployment import HELPFUL, SENTIMENT, Shelf, decided, predictions_of
from app.models import ModelOrder, Outcome, Prediction, Publish, Review
from app.models.registry import QUALITIES_KEPT, version_key
from app.tables import model_artifacts, model_registry, unjudged, version_quality
from pelton import Stream

__all__ = ["HOUR_S", "forget_oldest", "judge", "predict", "register"]

HOUR_S = 3600
#: Predictions about one customer that wait for the truth.
UNJUDGED_MAX = 20


@app.agent(model_orders, sink=[model_outcomes])
async def register(stream: Stream[ModelOrder]) -> AsyncIterator[Outcome]:
    """Decide what becomes of each order, and tell whoever asked."""
    async for order in stream:
        after, outcome, gone = decided(model_registry[order.name], order)
        model_registry[order.name] = after
        if isinstance(order, Publish) and outcome.done:
            model_artifacts[version_key(order.name, order.version)] = order.artifact
        for version in gone:
            model_artifacts.pop(version_key(order.name, version), None)
        yield outcome


@app.agent(reviews)
async def predict(stream: Stream[Review]) -> None:
    """Label reviews by the versions that are deployed; those of a batch are the same from its first to its last."""
    shelf = Shelf(SENTIMENT, model_registry.__getitem__, model_artifacts)
    async for batch in stream.batches():
        serving = shelf.serving()
        for review in batch.values:
            for said in predictions_of(SENTIMENT, serving, review.id, review.text, review.ts, review.label):
                await predictions.send(key=review.product, value=said)


@app.agent(predictions)
async def judge(stream: Stream[Prediction]) -> None:
    """Count each version's predictions, and how many were right where the truth is known."""
    async for account, said in stream.items():
        key, hour = version_key(said.model, said.version), said.ts - said.ts % HOUR_S
        if key not in version_quality:
            forget_oldest(said.model)
        quality = version_quality[key].predicted(hour)
        if said.truth is not None:
            quality = quality.told(hour, said.label, said.truth)
        elif said.model == HELPFUL:
            unjudged[account] = [*unjudged[account], said][-UNJUDGED_MAX:]
        version_quality[key] = quality


def forget_oldest(model: str) -> None:
    """Make room for one more version of a model: that which was asked longest ago goes."""
    known = {key: quality for key, quality in version_quality.items() if key.startswith(version_key(model, ""))}
    while len(known) >= QUALITIES_KEPT:
        oldest = min(known, key=lambda key: (known[key].hours[-1].start, key))
        del known[oldest], version_quality[oldest]
