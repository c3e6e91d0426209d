"""What is shown of data for training: what became of exchanges, and the versions."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from app.bank import training_directory
from app.everywhere import rows_of
from app.tables import training_counts
from app.training.files import manifests

__all__ = ["homes", "training_view"]

VERSIONS_SHOWN = 20


def homes() -> dict[str, Path]:
    """Return where the versions of each data set are, by its name."""
    return {path.name: path for path in sorted((training_directory / "chat").glob("*-*")) if path.is_dir()}


async def training_view() -> dict[str, Any]:
    """Return what became of exchanges, and the versions that are on this machine, latest first.

    Raises: UnavailableError when not all counts can be told now.
    """
    counts: Counter[str] = Counter()
    for what, times in await rows_of(training_counts):
        counts[what] += times
    data = {
        name: [
            {
                "version": one.version,
                "offsets": one.offsets,
                "counts": one.counts,
                "totals": one.totals,
                "sha256": digest,
            }
            for one, digest in reversed(manifests(home)[-VERSIONS_SHOWN:])
        ]
        for name, home in homes().items()
    }
    return {"counts": dict(sorted(counts.items())), "data": data}
