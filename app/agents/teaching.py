"""The loop closes: `teach` learns from the data which questions are answered well; what it learned is deployed.

After so many lessons the model is published as a version of "helpful", and asked as a shadow: `foresee` says of each
question whether its answer will help, before there is one, and `hear_ratings` counts what came of it.
"""

from __future__ import annotations

from app.agents.deployment import HOUR_S
from app.bank import app, conversation_events, dataset, model_orders, predictions, questions
from app.deployment import HELPFUL, NaiveBayes, Shelf, pack, predictions_of
from app.deployment.artifacts import label_of
from app.models import Label, Promote, Publish, Question
from app.models.registry import version_key
from app.models.training import ConversationEvent, Example, Rating
from app.sentiment import Learner
from app.tables import lessons, model_artifacts, model_registry, training_counts, unjudged, version_quality
from pelton import Stream

__all__ = ["foresee", "hear_ratings", "teach"]

#: Lessons between two versions.
LESSONS_EVERY = 25


@app.agent(dataset)
async def teach(stream: Stream[Example]) -> None:
    """Learn from each example of which the customer said whether it helped; publish a version now and then."""
    learner = Learner(lessons)
    async for event in stream.events():
        example = event.value
        if example.helpful is None:
            continue
        meant = label_for(example.helpful)
        training_counts["foretold"] += label_of(learner, example.asked)[0] == meant
        learner.learn(example.asked, meant)
        training_counts["lessons"] += 1
        if training_counts["lessons"] % LESSONS_EVERY == 0:
            await publish(f"d{event.message.offset}", example, f"{event.message.topic}-{event.message.partition:05d}")


async def publish(version: str, last: Example, data: str) -> None:
    """Publish what was learned as a version, and have it asked as a shadow."""
    seen = training_counts["lessons"]
    artifact = pack(NaiveBayes.of(dict(lessons.items())))
    metrics = {"texts": float(seen), "accuracy": round(training_counts["foretold"] / seen, 4)}
    lineage = {"data": data, "offsets": f"0-{version[1:]}"}
    order = Publish(HELPFUL, version, artifact.data, artifact.sha256, last.ts, metrics, lineage)
    await model_orders.send(key=HELPFUL, value=order)
    await model_orders.send(key=HELPFUL, value=Promote(HELPFUL, version, "shadow", last.ts))


@app.agent(questions)
async def foresee(stream: Stream[Question]) -> None:
    """Say of each question whether its answer will help."""
    shelf = Shelf(HELPFUL, model_registry.__getitem__, model_artifacts)
    async for batch in stream.batches():
        serving = shelf.serving()
        for one in batch.values:
            for said in predictions_of(HELPFUL, serving, one.id, one.text, one.ts):
                await predictions.send(key=one.account, value=said)


@app.agent(conversation_events)
async def hear_ratings(stream: Stream[ConversationEvent]) -> None:
    """Tell versions the truth about what they said of a question."""
    async for one in stream:
        if not isinstance(one, Rating):
            continue
        waiting = unjudged[one.account]
        for said in waiting:
            if said.subject == one.question:
                key = version_key(said.model, said.version)
                hour = said.ts - said.ts % HOUR_S
                version_quality[key] = version_quality[key].told(hour, said.label, label_for(one.helpful))
        unjudged[one.account] = [said for said in waiting if said.subject != one.question]


def label_for(helpful: bool) -> Label:
    """Return the label that stands for what a customer said."""
    return "positive" if helpful else "negative"
