"""`faust -A app check-training`: whether the data for training on this machine is what its manifests say."""

from __future__ import annotations

import asyncio
import sys

from app.bank import app, training_directory
from app.training.checking import faults
from app.training.files import manifests
from app.training.view import homes
from pelton import AppCommand

__all__ = ["check_training"]


@app.command()
async def check_training(self: AppCommand) -> None:
    """Check all versions of the data for training.

    Hashes, counts, offsets and rows of each, and whether there is anything that should have been redacted.
    """
    wrong = 0
    for name, home in homes().items():
        held = manifests(home)
        found = await asyncio.to_thread(list[str], faults(home, training_directory / "parquet"))
        rows = held[-1][0].totals["rows"] if held else 0
        print(f"{name}: {len(held)} versions, {rows:,} rows, {len(found)} faults")
        for fault in found[:20]:
            print(f"  {fault}", file=sys.stderr)
        wrong += len(found)
    if wrong:
        sys.exit(1)
