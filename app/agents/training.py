"""Make data for training of conversations, and train on it: `collect`, `curate`, files, `teach`.

`collect` has one customer's exchanges, ratings and consent in the order of the log. An exchange of a customer who
agreed waits for a rating; then it becomes an example, redacted. All examples of a data set have one key, so `curate`
sees them one after the other, and knows those before. Whatever crashes, each exchange is in the data once, or not.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import polars as pl

from app.bank import app, conversation_events, dataset, examples, training_directory
from app.models.training import Consent, ConversationEvent, Example, Exchange, Held, Rating
from app.tables import consents, held_exchanges, near_duplicates, training_counts
from app.training import NearDuplicates, example_of
from app.training.files import DatasetFiles
from pelton import FiredTimer, Stream, current_event
from pelton.connect.parquet import ParquetFiles

__all__ = ["collect", "curate", "to_files", "to_parquet"]

DATASET = "chat"
#: How long a rating is waited for.
RATING_S = 600
#: How long rows of the data wait for others before they are written. Not a minute: who waits so long is said to stand
#: still.
WITHIN_S = float(os.environ.get("TRAINING_WITHIN_S", "20"))


@app.agent(conversation_events)
async def collect(stream: Stream[ConversationEvent]) -> None:
    """Take in exchanges of customers who agreed, with their ratings, or without when none comes."""
    timers = stream.timers()
    async for one in timers:
        match one:
            case Consent():
                consents[one.account] = one.given
            case Exchange():
                event = current_event()
                assert event is not None
                if not consents[one.account]:
                    count("no consent")
                elif one.hand_over:
                    count("a person went on")
                else:
                    held_exchanges[one.question] = Held(one, event.message.partition, event.message.offset)
                    timers.set(one.question, after=RATING_S)  # by the time of other customers' conversations
                    timers.set(f"{one.question} by the clock", after=RATING_S, clock="wall")  # where there are none
            case Rating():
                await pass_on(one.question, one)
            case FiredTimer():
                await pass_on(one.name.removesuffix(" by the clock"), None)


async def pass_on(question: str, rating: Rating | None) -> None:
    """Make an example of an exchange that waits, unless the customer has changed his mind."""
    held = held_exchanges.get(question)
    if held is None or (rating is not None and rating.account != held.exchange.account):
        return
    del held_exchanges[question]
    if consents[held.exchange.account]:
        await examples.send(key=DATASET, value=example_of(held, rating))
    else:
        count("consent taken back")


@app.agent(examples, sink=[dataset])
async def curate(stream: Stream[Example]) -> AsyncIterator[Example]:
    """Leave out what is nearly the same as what the data has already."""
    known = NearDuplicates(near_duplicates)
    async for event in stream.events():
        example = event.value
        if known.is_new(event.message.offset, f"{example.asked} {example.answered}"):
            count("taken in")
            for kind, times in example.redacted.items():
                count(f"redacted: {kind}", times)
            yield example
        else:
            count("near-duplicate")


def count(what: str, times: int = 1) -> None:
    """Count what became of an exchange."""
    training_counts[what] += times


versions = DatasetFiles(training_directory / "chat")
to_files = app.sink(versions, dataset, name="dataset-files", batch=5_000, within=WITHIN_S)


parquet = ParquetFiles(training_directory / "parquet", schema={"helpful": pl.Boolean})


@app.sink(parquet, dataset, name="dataset-parquet", batch=50_000, within=WITHIN_S)
def to_parquet(example: Example) -> dict[str, Any]:
    """Return a row: the example's fields. redacted: how much was taken out of it."""
    return {**msgspec.to_builtins(example), "redacted": sum(example.redacted.values())}
