"""A model from labelled texts: each is judged first, and then learned from, so its accuracy is that on unseen ones."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from app.deployment.artifacts import NaiveBayes, label_of
from app.models import Label
from app.sentiment import CountsInMemory, Learner

__all__ = ["ModelFile", "trained"]


class ModelFile(msgspec.Struct, frozen=True):
    """A model as a file, before it is packed and published."""

    model: NaiveBayes
    metrics: dict[str, float] = {}
    lineage: dict[str, str] = {}


def trained(texts: Iterable[tuple[str, Label]], lineage: dict[str, str]) -> ModelFile:
    """Return a model of texts and their labels. metrics: how many texts, and the share labelled right beforehand."""
    counts = CountsInMemory()
    learner, seen, right = Learner(counts), 0, 0
    for text, meant in texts:
        right += label_of(learner, text)[0] == meant
        learner.learn(text, meant)
        seen += 1
    metrics = {"texts": float(seen), "accuracy": round(right / seen, 4) if seen else 0.0}
    return ModelFile(NaiveBayes.of(counts), metrics, lineage)
