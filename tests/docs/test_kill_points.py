"""docs/kill-points.md names every step, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from pelton.killpoints import STEPS

PAGE = Path(__file__).parents[2] / "docs" / "kill-points.md"


def test_every_step_is_documented() -> None:
    assert re.findall(r"^\| `([a-z-]+)` \|", PAGE.read_text(), re.MULTILINE) == list(STEPS)
