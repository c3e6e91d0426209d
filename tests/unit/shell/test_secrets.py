"""Secrets in broker URLs are refused before anybody shows them; messages have a largest size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pelton import App
from pelton.errors import ConfigurationError


@pytest.mark.parametrize("option", ["broker", "broker_consumer", "broker_producer"])
def test_a_broker_url_holds_no_secret(tmp_path: Path, option: str) -> None:
    app = App("secrets", datadir=str(tmp_path), **{option: "kafka://alice:secret@broker.example:9093"})
    with pytest.raises(ConfigurationError) as caught:
        app.finalize()
    text = str(caught.value)
    assert "secret@" not in text
    assert ":secret" not in text
    assert "alice" not in text
    assert "kafka://broker.example:9093" in text
    assert "broker_credentials" in text


async def test_a_message_has_a_largest_size(tmp_path: Path) -> None:
    app = App("sizes", datadir=str(tmp_path), record_bytes_max=1024)
    topic: Any = app.topic("t", value_type=bytes)
    assert topic.outgoing(b"k" * 24, b"v" * 1000).value == b"v" * 1000
    with pytest.raises(ConfigurationError, match=r"the message has 1,025 bytes, expected at most 1,024") as caught:
        topic.outgoing(b"k" * 24, b"v" * 1001)
    assert "PELTON_RECORD_BYTES_MAX" in str(caught.value)
