"""What is said of a worker that does not answer."""

from __future__ import annotations

import asyncio

import pytest

from pelton.errors import UnavailableError
from pelton.testing.broker import free_ports
from pelton.web.peers import Peers


async def _hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def test_a_worker_that_is_gone_is_told_in_words() -> None:
    (port,) = free_ports(1)
    peers = Peers({})
    try:
        with pytest.raises(UnavailableError) as caught:
            await peers.get(f"127.0.0.1:{port}", "/livez")
        assert caught.value.message == f"worker 127.0.0.1:{port} did not answer: connection refused"
        server = await asyncio.start_server(_hang_up, "127.0.0.1", port)
        async with server:
            with pytest.raises(UnavailableError) as caught:
                await peers.get(f"127.0.0.1:{port}", "/livez")
        why = caught.value.message.removeprefix(f"worker 127.0.0.1:{port} did not answer: ")
        assert why in ("Server disconnected", "connection reset by peer")
        with pytest.raises(UnavailableError, match="worker no such place did not answer: "):
            await peers.get("no such place", "/livez")
    finally:
        await peers.close()
