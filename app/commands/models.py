"""`faust -A app models …`: make a model of the log's reviews, publish it, promote it, go back; or see what there is."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from app.agents.deployment import register
from app.bank import app, reviews
from app.deployment import SENTIMENT, pack
from app.deployment.training import ModelFile, trained
from app.logbook import entries
from app.models import ModelOrder, Outcome, Publish, Registry, Review
from app.models.registry import STAGES
from app.tables import model_registry
from pelton import AppCommand, ConfigurationError, argument, option

__all__ = ["models", "ordered", "publication", "registries", "trained_from_reviews"]

#: How long a registry may take to answer: a worker that starts takes seconds.
ANSWER_S = 60
USAGE = {
    "list": "",
    "train": "FILE",
    "publish": "NAME VERSION FILE",
    "promote": "NAME VERSION",
    "retire": "NAME VERSION",
    "rollback": "NAME",
}


@app.command(
    argument("action", metavar="|".join(USAGE)),
    argument("words", nargs=-1, metavar="[NAME] [VERSION] [FILE]"),
    option("--stage", default="production", show_default=True, help=f"Where to promote to: {', '.join(STAGES)}."),
    option("--share", type=float, default=0.1, show_default=True, help="Of the subjects, for a canary."),
    option("--sha256", default="", help="What the artifact's hash is to be; of the file as it is, if it is missing."),
    option("--why", default="", help="Why it is rolled back."),
    option("--last", type=int, default=500, show_default=True, help="Train on so many reviews of each partition."),
)
async def models(
    self: AppCommand, action: str, words: tuple[str, ...], *, stage: str, share: float, sha256: str, why: str, last: int
) -> None:
    """Train, publish, deploy and take back models.

    A worker must run, to answer. Page: /models.
    """
    if action not in USAGE or len(words) != len(USAGE[action].split()):
        asked = "; ".join(f"{name} {usage}".strip() for name, usage in USAGE.items())
        raise ConfigurationError(f"no such order: {action} {' '.join(words)}".rstrip(), hint=f"one of: {asked}")
    if action == "list":
        await _list()
    elif action == "train":
        made = await trained_from_reviews(last)
        await asyncio.to_thread(Path(words[0]).write_bytes, msgspec.json.format(msgspec.json.encode(made)))
        print(f"{words[0]}: {made.metrics['texts']:,.0f} reviews with stars, accuracy {made.metrics['accuracy']:.1%}")
    else:
        outcome = await ordered(_order(action, words, stage, share, sha256, why))
        print(f"{outcome.name} {outcome.version}: {outcome.told}", file=sys.stdout if outcome.done else sys.stderr)
        if not outcome.done:
            sys.exit(1)


def _order(action: str, words: tuple[str, ...], stage: str, share: float, sha256: str, why: str) -> ModelOrder:
    """Return the order as it was typed. Raises: ConfigurationError for one that cannot be."""
    name, version, file = (*words, "", "")[:3]
    if action == "publish":
        return publication(name, version, _read(Path(file)), sha256)
    fields: dict[str, Any] = {"type": action.capitalize(), "name": name, "ts": time.time()}
    fields |= {"why": why} if action == "rollback" else {"version": version}
    fields |= {"stage": stage, "share": share} if action == "promote" else {}
    try:
        order: ModelOrder = msgspec.convert(fields, ModelOrder)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"models {action}: {error}") from error
    return order


def _read(file: Path) -> ModelFile:
    """Return the model in a file. Raises: ConfigurationError."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=ModelFile)
    except (OSError, msgspec.DecodeError, RecursionError) as error:
        raise ConfigurationError(
            f"{file} is no model: {error}", hint="faust -A app models train FILE makes one"
        ) from error


def publication(name: str, version: str, made: ModelFile, sha256: str = "") -> Publish:
    """Return the order that publishes a model. Raises: ConfigurationError for a name or size that cannot be."""
    artifact = pack(made.model)
    order = Publish(
        name, version, artifact.data, sha256 or artifact.sha256, round(time.time(), 3), made.metrics, made.lineage
    )
    try:
        return msgspec.json.decode(msgspec.json.encode(order), type=Publish)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"this cannot be published: {error}") from error


async def ordered(order: ModelOrder) -> Outcome:
    """Return what became of an order. Raises: RequestTimeoutError when no worker answers."""
    return await register.ask(order, key=order.name, answer_type=Outcome, timeout=ANSWER_S)


async def trained_from_reviews(last: int) -> ModelFile:
    """Return a model of the reviews with stars among the last ones of each partition, in the order of their times."""
    found: list[Review] = []
    spans: dict[int, tuple[int, int]] = {}
    async for entry in entries(reviews.get_topic_name(), last=last):
        first, _ = spans.get(entry.partition, (entry.offset, 0))
        spans[entry.partition] = first, entry.offset
        found.append(msgspec.json.decode(entry.value, type=Review))
    found.sort(key=lambda one: (one.ts, one.id))
    lineage = {
        "topic": reviews.get_topic_name(),
        "offsets": ", ".join(f"{partition}: {first}-{end}" for partition, (first, end) in sorted(spans.items())),
    }
    return trained(((one.text, one.label) for one in found if one.label is not None), lineage)


async def registries() -> dict[str, Registry]:
    """Return the registry as the log has it."""
    found: dict[str, Registry] = {}
    async for entry in entries(model_registry.changelog_topic_name):
        found[entry.key] = msgspec.json.decode(entry.value, type=Registry)
    return found


async def _list() -> None:
    found = await registries()
    for name, registry in sorted(found.items()):
        print(f"{name}: {len(registry.versions)} versions")
        for one in registry.versions:
            stage = f"canary {registry.share:.0%}" if one.stage == "canary" else one.stage
            accuracy = f"accuracy {one.metrics['accuracy']:.1%}" if "accuracy" in one.metrics else ""
            line = f"  {one.version:<20}{stage:<14}{one.sha256[:12]}  {one.bytes:>9,} bytes  {accuracy}  {one.why}"
            print(line.rstrip())
    if not found:
        print(f"no model was published yet; faust -A app models train FILE makes one of {SENTIMENT}")
