"""How long tests wait for what must come: far longer than a busy machine needs, so that only a fault exceeds it."""

from __future__ import annotations

PATIENCE_S = 120.0
