"""A bank's fraud detection: what is computed. `faust -A app worker` runs it; `python -m app.run` adds traffic."""

from app import agents, commands, pages
from app.bank import app

__all__ = ["agents", "app", "commands", "pages"]
