"""What tests of several uses share: a language model's server, and a bank that asks it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.app.bank_process import Bank
from tests.app.llm.model_server import ModelServer, serving
from tests.patience import PATIENCE_S


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    """Give a model's server."""
    async with serving() as server:
        yield server


@pytest.fixture
def bank(broker_url: str, tmp_path: Path, server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bank]:
    """Give a bank whose workers ask that model, and wait for it for as long as it takes."""
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.setenv("MODEL_TIMEOUT_S", str(10 * PATIENCE_S))
    with Bank(tmp_path, broker_url) as bank:
        yield bank
