"""What docs/metrics.md says of each metric, for tests that hold it against what a worker tells."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

__all__ = ["documented_labels", "documented_name"]

_PAGE = Path(__file__).parents[1] / "docs" / "metrics.md"


def documented_labels() -> Mapping[str, frozenset[str]]:
    """Return the labels of each metric, by its name."""
    rows = re.findall(r"^\| `((?:pelton|kafka)_\w+)` \| ([\w, ]*)\|", _PAGE.read_text(), re.MULTILINE)
    found = {name: frozenset(re.findall(r"\w+", labels)) for name, labels in rows}
    assert len(found) == len(rows) > 40, "each has one row"
    return found


def documented_name(series: str) -> str:
    """Return the name under which a series is documented: that of its histogram, for its parts."""
    return re.sub(r"(?<=_seconds|_records)_(bucket|count|sum)$", "", series)
