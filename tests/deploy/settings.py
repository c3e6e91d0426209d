"""Which environment variables are settings: of the engine, of Faust, of the application."""

from __future__ import annotations

import re
from pathlib import Path

from faust.types.settings import Settings

from app.llm.settings import VARIABLES
from pelton.config import SETTINGS
from pelton.shell.credentials import BROKER_VARIABLES
from pelton.shell.guard import TOKEN_VARIABLE

__all__ = ["ROOT", "known_settings"]

ROOT = Path(__file__).parents[2]


def known_settings() -> frozenset[str]:
    """Return the names of all variables that a worker of the bank reads."""
    fausts = {setting.env_name for setting in Settings.SETTINGS.values() if setting.env_name}
    ours = {setting.env for setting in SETTINGS} | {TOKEN_VARIABLE, *BROKER_VARIABLES}
    reads = re.compile(r'os\.environ(?:\.get\(|\[)"([A-Z_]+)"')
    apps = {name for file in (ROOT / "app").rglob("*.py") for name in reads.findall(file.read_text())}
    return frozenset(fausts | ours | apps | set(VARIABLES))
