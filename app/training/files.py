"""A data set as versions, each a directory that is there whole or not at all, and says what is in it.

    chat/dataset-00002/v000007/train.jsonl  validation.jsonl  test.jsonl  manifest.json

A version adds the rows of the topic from one offset to another; it stands on the version before, whose manifest it
names by its hash, so whoever has one manifest can tell whether anything before it was changed. It is written beside its
place and put there by renaming, which fails where there is a directory: of two workers that have the same rows, one is
too late. How far the data has come is in the last manifest, so nothing else has to be kept.
Lines are what fine-tuning takes: {"messages": [{"role": "system", …}, {"role": "user", …}, {"role": "assistant", …}]}.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path

import msgspec

from app.conversation.answering import RULES
from app.models.training import SPLITS, Example, Split
from app.training.curating import SHARES
from app.training.duplicates import JACCARD_MIN
from pelton import TopicPartition, UnavailableError
from pelton.connect.contract import SinkBatch, SinkRow

__all__ = ["DatasetFiles", "Manifest", "line_of", "manifests", "rows_sha256"]

MANIFEST = "manifest.json"


class DataFile(msgspec.Struct, frozen=True):
    """A file of a version. examples: its lines. sha256: of its bytes, in hex."""

    split: Split
    examples: int
    bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """What a version is. offsets: of the topic's rows that it adds, the last one not included.

    rows_sha256: over these rows, as they are in the topic (see `rows_sha256`); Parquet files have the same.
    counts: of rows in this version; totals: of rows in all up to this one. lineage: partition of the topic of
    conversations -> the least and the greatest offset of the exchanges that the rows were made of.
    before: the hash of the version before, "" for the first. rules: by which the rows were chosen.
    """

    version: int
    topic: str
    partition: int
    offsets: tuple[int, int]
    rows_sha256: str
    files: dict[str, DataFile]
    counts: dict[str, int]
    totals: dict[str, int]
    lineage: dict[str, tuple[int, int]]
    before: str
    rules: dict[str, str]


class DatasetFiles:
    """Versions of data sets in a directory: what `app.sink` takes. Rows are `Example`s."""

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)

    async def open(self, name: str) -> _Writer:
        """Make the directory."""
        try:
            await asyncio.to_thread(self.directory.mkdir, parents=True, exist_ok=True)
        except OSError as error:
            raise UnavailableError(f"could not make {self.directory}: {error.strerror}") from error
        return _Writer(self)

    def home(self, source: TopicPartition) -> Path:
        """Return where the versions of a partition are."""
        return self.directory / f"{source.topic}-{source.partition:05d}"

    def __repr__(self) -> str:
        return f"DatasetFiles({str(self.directory)!r})"


class _Writer:
    """The versions of one sink, as one worker writes them."""

    def __init__(self, files: DatasetFiles) -> None:
        self._files = files

    async def write(self, batch: SinkBatch) -> None:
        """Write one version of the rows that no version has."""
        await asyncio.to_thread(self._write, batch)

    async def close(self) -> None:
        """Do nothing: files are closed as they are written."""

    def _write(self, batch: SinkBatch) -> None:
        home = self._files.home(batch.source)
        try:
            home.mkdir(exist_ok=True)
            while True:
                before = _last(home)
                rows = batch.behind(before[0].offsets[1] if before else 0)
                if not rows or _put(home, batch.source, rows, before):
                    return
        except OSError as error:
            raise UnavailableError(f"could not write to {home}: {error.strerror}") from error


def manifests(home: Path) -> list[tuple[Manifest, str]]:
    """Return the manifests of all versions, and their hashes, first version first."""
    return [_read(path) for path in sorted(home.glob(f"v*/{MANIFEST}"))]


def line_of(example: Example) -> bytes:
    """Return an example as a line of a chat file."""
    messages = [
        {"role": "system", "content": RULES},
        {"role": "user", "content": example.asked},
        {"role": "assistant", "content": example.answered},
    ]
    return msgspec.json.encode({"messages": messages}) + b"\n"


def rows_sha256(rows: Iterable[tuple[int, str, str, str]]) -> str:
    """Return the hash over rows: the offset, the split, what was asked and what was answered, of each."""
    digest = sha256()
    for row in rows:
        digest.update(msgspec.json.encode(row) + b"\n")
    return digest.hexdigest()


def _last(home: Path) -> tuple[Manifest, str] | None:
    """Return the manifest of the last version, and its hash."""
    paths = sorted(home.glob(f"v*/{MANIFEST}"))
    return _read(paths[-1]) if paths else None


def _read(path: Path) -> tuple[Manifest, str]:
    data = path.read_bytes()
    return msgspec.json.decode(data, type=Manifest), sha256(data).hexdigest()


def _put(home: Path, source: TopicPartition, rows: Sequence[SinkRow], before: tuple[Manifest, str] | None) -> bool:
    """Put a version in its place. Returns: whether there was none of its number yet."""
    examples = [row.value for row in rows]
    texts: dict[str, tuple[Split, list[bytes]]] = {
        f"{split}.jsonl": (split, [line_of(one) for one in examples if one.split == split and one.teaches])
        for split in SPLITS
    }
    manifest = _manifest(source, rows, texts, before)
    place = home / f"v{manifest.version:06d}"
    part = home / f".{place.name}.{os.getpid()}-{id(rows):x}.part"
    part.mkdir()
    try:
        for name, (_, lines) in texts.items():
            _write_durably(part / name, b"".join(lines))
        _write_durably(part / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
        try:
            part.rename(place)
        except OSError:
            if place.exists():
                return False  # another worker was faster
            raise
        _sync(home)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return True


def _manifest(
    source: TopicPartition,
    rows: Sequence[SinkRow],
    texts: dict[str, tuple[Split, list[bytes]]],
    before: tuple[Manifest, str] | None,
) -> Manifest:
    """Return what is told of a version: it follows from the rows, and from the version before."""
    examples: list[Example] = [row.value for row in rows]
    counts = _counts(examples)
    lineage: dict[str, tuple[int, int]] = {}
    for one in examples:
        first, last = lineage.get(str(one.partition), (one.offset, one.offset))
        lineage[str(one.partition)] = min(first, one.offset), max(last, one.offset)
    files = {
        name: DataFile(split, len(lines), sum(map(len, lines)), sha256(b"".join(lines)).hexdigest())
        for name, (split, lines) in texts.items()
    }
    return Manifest(
        version=before[0].version + 1 if before else 1,
        topic=source.topic,
        partition=source.partition,
        offsets=(rows[0].offset, rows[-1].offset + 1),
        rows_sha256=rows_sha256((row.offset, row.value.split, row.value.asked, row.value.answered) for row in rows),
        files=files,
        counts=dict(sorted(counts.items())),
        totals=dict(sorted((counts + Counter(before[0].totals if before else {})).items())),
        lineage=dict(sorted(lineage.items())),
        before=before[1] if before else "",
        rules={
            "consent": "given before the exchange",
            "redaction": "card, iban, mail, phone, account",
            "near-duplicates": f"Jaccard of three-word pieces >= {JACCARD_MIN}",
            "split": ", ".join(f"{split} {share:.0%}" for split, share in SHARES.items()) + " of customers",
        },
    )


def _counts(examples: Sequence[Example]) -> Counter[str]:
    counts = Counter[str](rows=len(examples))
    for one in examples:
        counts[one.split] += 1
        counts["in the chat files"] += one.teaches
        counts[{True: "said to help", False: "said not to help", None: "without rating"}[one.helpful]] += 1
        counts.update({f"redacted: {kind}": times for kind, times in one.redacted.items()})
    return counts


def _write_durably(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync(directory: Path) -> None:
    """Make a directory's names durable."""
    number = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
