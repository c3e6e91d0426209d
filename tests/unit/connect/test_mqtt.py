"""What is touched of aiomqtt's and paho's insides is there, and does what `pelton.connect.mqtt` counts on."""

from __future__ import annotations

import asyncio

import aiomqtt
import pytest

from pelton.connect.mqtt import Mqtt
from pelton.errors import ConfigurationError, UnavailableError
from tests.servers import mosquitto


async def published(port: int, *payloads: str) -> None:
    async with aiomqtt.Client("127.0.0.1", port) as client:
        for payload in payloads:
            await client.publish("plant/1", payload, qos=1)


async def test_what_is_not_acknowledged_comes_again_and_what_was_committed_goes_no_further() -> None:
    with mosquitto() as broker:
        source = Mqtt(f"mqtt://127.0.0.1:{broker.port}", "plant/+", client_id="us")
        reader = await source.open({})
        await published(broker.port, "one", "two")
        got: list[bytes] = []
        positions: dict[str, object] = {}
        while len(got) < 2:
            async with asyncio.timeout(30):
                batch = await reader.read()
            got += [record.value for record in batch.records]
            positions |= batch.positions
        assert batch.records[0].key == b"plant/1"
        await reader.close()

        # Nothing was committed: both come again. Both were, and the worker died before it could say so: neither does.
        reader = await source.open({})
        async with asyncio.timeout(30):
            assert (await reader.read()).records[0].value == b"one"
        await reader.close()
        reader = await source.open(positions)
        await published(broker.port, "three")
        async with asyncio.timeout(30):
            batch = await reader.read()
        assert [record.value for record in batch.records] == [b"three"]
        await reader.committed(batch)
        await reader.close()

        # A broker that has forgotten the session numbers anew.
        broker.kill()
        for file in broker.directory.glob("mosquitto.db*"):
            file.unlink()
        broker.start()
        reader = await source.open(positions)
        await published(broker.port, "one")
        async with asyncio.timeout(30):
            assert (await reader.read()).records[0].value == b"one"
        broker.kill()
        with pytest.raises(UnavailableError):
            async with asyncio.timeout(30):
                await reader.read()
        await reader.close()
        with pytest.raises(UnavailableError):
            await source.open({})


def test_what_cannot_be_read() -> None:
    with pytest.raises(ConfigurationError, match="expected mqtt://host"):
        Mqtt("http://host", "a", client_id="us")
    with pytest.raises(ConfigurationError, match="expected a filter"):
        Mqtt("mqtt://host", client_id="us")
    with pytest.raises(ConfigurationError, match="client_id"):
        Mqtt("mqtt://host", "a", client_id="")
    assert "secret" not in repr(Mqtt("mqtt://user:secret@host", "a", client_id="us"))
