"""A worker that is told to stop before its engine has begun ends in order."""

from __future__ import annotations

from pathlib import Path

from pelton import App


async def test_nobody_waits_for_an_engine_that_has_not_begun(tmp_path: Path) -> None:
    app = App("early", datadir=str(tmp_path), broker=f"sqlite:///{tmp_path / 'log.sqlite'}")
    assert app.runtime is None
    assert await app._wait_for_table_recovery_completed() is True  # that it stops, as Faust asks it
