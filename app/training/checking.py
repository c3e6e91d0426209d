"""Whether a data set is what its manifests say, and holds nothing that must not be learned."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import msgspec
import polars as pl

from app.training.files import MANIFEST, Manifest, manifests, rows_sha256
from app.training.inspecting import left_in

__all__ = ["faults"]


def faults(home: Path, parquet: Path) -> Iterator[str]:
    """Yield what is wrong with the versions of a data set. home: where they are; parquet: the same rows' files.

    Rows that no Parquet file has yet are no fault: the two are written each at its own pace.
    """
    before, end = "", 0
    for number, (manifest, digest) in enumerate(manifests(home), 1):
        where = f"v{number:06d}"
        if (manifest.version, manifest.before, manifest.offsets[0] >= end) != (number, before, True):
            yield f"{where}: it does not stand on the version before"
        before, end = digest, manifest.offsets[1]
        yield from (f"{where}/{fault}" for fault in _of_files(home / where, manifest))
        yield from (f"{where}: {fault}" for fault in _of_rows(parquet, manifest))


def _of_files(place: Path, manifest: Manifest) -> Iterator[str]:
    for name, told in manifest.files.items():
        data = (place / name).read_bytes() if (place / name).exists() else b""
        lines = data.splitlines()
        if (sha256(data).hexdigest(), len(data), len(lines)) != (told.sha256, told.bytes, told.examples):
            yield f"{name}: it is not the file that {MANIFEST} tells of"
        for number, line in enumerate(lines, 1):
            texts = [message["content"] for message in msgspec.json.decode(line)["messages"]]
            found = sorted({kind for text in texts for kind in left_in(text)})
            if found:
                yield f"{name}, line {number}: there is a {' and a '.join(found)} in it"


def _of_rows(parquet: Path, manifest: Manifest) -> Iterator[str]:
    """Compare the rows of Parquet files with a version's."""
    files = sorted(parquet.glob(f"{manifest.topic}-{manifest.partition:05d}-*.parquet"))
    if not files:
        return
    start, end = manifest.offsets
    frame = pl.concat([pl.read_parquet(file, columns=["_offset", "split", "asked", "answered"]) for file in files])
    last: int = frame["_offset"].max()  # type: ignore[assignment]
    if last < end - 1:
        return
    rows = frame.filter((pl.col("_offset") >= start) & (pl.col("_offset") < end)).sort("_offset").iter_rows()
    if rows_sha256((row[0], row[1], row[2], row[3]) for row in rows) != manifest.rows_sha256:
        yield "the Parquet files have other rows"
