"""Messages of an MQTT broker, acknowledged once they are in the log (QoS 1, MQTT 5, a session that lasts).

    readings = app.source(Mqtt("mqtt://broker", "plant/+/temperature"), to=app.topic("readings", value_type=Reading))

The broker keeps what was not acknowledged, for as long as the session lasts, and sends it again under its packet id.
So which ids were committed last travels with the commit: a message that comes again (DUP) under an id of those, with
the same content, is acknowledged and goes no further. With brokers that give out ids in sequence, as Mosquitto does,
each message is in the log once; with any other, once or more. Messages that were published with QoS 0 may get lost on
their way, as anywhere.

aiomqtt acknowledges by itself and does not tell of DUP: what is private in it and touched here is in `_Client`.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from zlib import crc32

import aiomqtt
from paho.mqtt.client import MQTTMessage
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from yarl import URL

from pelton.connect.contract import SourceBatch, SourceRecord
from pelton.errors import ConfigurationError, UnavailableError

__all__ = ["Mqtt"]

_PORTS = {"mqtt": 1883, "mqtts": 8883}
_BATCH = 1_000
#: The name of the one split: what was committed last of the session.
_SESSION = "session"


class Mqtt:
    """The messages that filters of topics match.

    url: mqtt://user:password@host:port, or mqtts:// for TLS. client_id: names the session at the broker; whoever
        connects under it next takes it over, as the next owner of the partition does.
    filters: topics, with + and #. session: how long the broker keeps what comes while nobody is there, in seconds or
        as a timedelta. in_flight: how many messages may wait for their commit (ReceiveMaximum; brokers have a limit of
        their own, Mosquitto's max_inflight_messages of 20).
    Values are payloads, keys topics, as bytes. Raises: ConfigurationError.
    """

    def __init__(
        self,
        url: str,
        *filters: str,
        client_id: str,
        session: float | timedelta = timedelta(days=7),
        in_flight: int = 1_000,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        found = URL(url)
        if found.scheme not in _PORTS or not found.host:
            raise ConfigurationError(f"Mqtt: expected mqtt://host or mqtts://host, got {url!r}")
        if not filters:
            raise ConfigurationError("Mqtt: expected a filter", hint='write Mqtt(url, "plant/+/temperature", …)')
        if not client_id:
            raise ConfigurationError("Mqtt: client_id: expected a name of this application's own at the broker")
        if not 1 <= in_flight <= 65_535:
            raise ConfigurationError(f"Mqtt: in_flight: expected 1 to 65535, got {in_flight}")
        self.url = found
        self.filters = filters
        self.client_id = client_id
        self.session_s = int(session.total_seconds() if isinstance(session, timedelta) else session)
        self.in_flight = in_flight
        self.tls = tls or (ssl.create_default_context() if found.scheme == "mqtts" else None)

    async def open(self, positions: Mapping[str, Any]) -> _Reader:
        """Connect, take the session over, and subscribe."""
        reader = _Reader(self, positions.get(_SESSION) or {})
        await reader.connect()
        return reader

    def client(self) -> _Client:
        """Return a client that is not connected yet."""
        connect: Any = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        connect.SessionExpiryInterval = self.session_s
        connect.ReceiveMaximum = self.in_flight
        return _Client(
            self.url.host or "",
            self.url.port or _PORTS[self.url.scheme],
            username=self.url.user,
            password=self.url.password,
            identifier=self.client_id,
            protocol=aiomqtt.ProtocolVersion.V5,
            clean_start=False,
            properties=connect,
            tls_context=self.tls,
        )

    def __repr__(self) -> str:
        return f"Mqtt({self.url.host}, {', '.join(self.filters)})"  # the URL may hold a password


class _Client(aiomqtt.Client):
    """A client that leaves acknowledging to its caller. came: what the broker sent; resumed: whether it knew us."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.came: asyncio.Queue[MQTTMessage] = asyncio.Queue()
        self.resumed = False
        self._client.manual_ack_set(True)
        self._client.on_message = self._take

    def _take(self, client: Any, userdata: Any, message: MQTTMessage) -> None:
        self.came.put_nowait(message)  # the broker sends no more than `in_flight` before they are acknowledged

    def _on_connect(self, client: Any, userdata: Any, flags: Any, reason_code: Any, properties: Any = None) -> None:
        self.resumed = bool(flags.session_present)
        super()._on_connect(client, userdata, flags, reason_code, properties)

    async def next(self) -> MQTTMessage:
        """Return the next message. Raises: MqttError when the connection is gone."""
        getting = asyncio.ensure_future(self.came.get())
        try:
            await asyncio.wait((getting, self._disconnected), return_when=asyncio.FIRST_COMPLETED)
            if not getting.done():
                raise aiomqtt.MqttError("the connection is gone") from self._disconnected.exception()
            return getting.result()
        finally:
            getting.cancel()

    def acknowledge(self, packet_id: int) -> None:
        """Acknowledge a message of QoS 1."""
        self._client.ack(packet_id, 1)


class _Reader:
    """A session at the broker. committed: packet id -> checksum, as text, of the messages that were committed last."""

    def __init__(self, mqtt: Mqtt, committed: Mapping[str, int]) -> None:
        self._mqtt = mqtt
        self._client = mqtt.client()
        self._connected = False
        self._known = {int(packet_id): checksum for packet_id, checksum in committed.items()}
        self._staged: deque[Sequence[int]] = deque()

    async def connect(self) -> None:
        """Connect and subscribe. Raises: UnavailableError."""
        try:
            await self._client.__aenter__()
            self._connected = True
            if not self._client.resumed:
                self._known = {}  # another session: its ids begin anew
            for one in self._mqtt.filters:
                await self._client.subscribe(one, qos=1)
        except (aiomqtt.MqttError, OSError) as error:
            await self.close()
            raise UnavailableError(f"{self._mqtt!r}: {error}") from error

    async def read(self) -> SourceBatch:
        """Return what has come and was not committed before."""
        try:
            while True:
                came = [await self._client.next()]
                while not self._client.came.empty() and len(came) < _BATCH:
                    came.append(self._client.came.get_nowait())
                if fresh := [message for message in came if not self._again(message)]:
                    return self._batch(fresh)
        except aiomqtt.MqttError as error:
            raise UnavailableError(f"{self._mqtt!r}: {error}") from error

    def _again(self, message: MQTTMessage) -> bool:
        """Whether a message was committed before; it is acknowledged then."""
        if not message.dup or self._known.get(message.mid) != _checksum(message):
            return False
        self._client.acknowledge(message.mid)
        return True

    def _batch(self, messages: Sequence[MQTTMessage]) -> SourceBatch:
        packet_ids = [message.mid for message in messages if message.qos]
        for message in messages:
            if message.qos:
                self._known.pop(message.mid, None)  # the newest ones last
                self._known[message.mid] = _checksum(message)
        while len(self._known) > 2 * self._mqtt.in_flight:
            del self._known[next(iter(self._known))]
        self._staged.append(packet_ids)
        records = [SourceRecord(bytes(message.payload), message.topic.encode()) for message in messages]
        known = {str(packet_id): checksum for packet_id, checksum in self._known.items()}
        return SourceBatch(records, {_SESSION: known}, waiting=True)

    async def committed(self, batch: SourceBatch) -> None:
        """Acknowledge the messages of the batch."""
        for packet_id in self._staged.popleft():
            self._client.acknowledge(packet_id)

    async def close(self) -> None:
        """Disconnect; the session stays at the broker."""
        if self._connected:
            self._connected = False
            try:
                await self._client.__aexit__(None, None, None)
            except aiomqtt.MqttError:
                return  # the connection was gone already


def _checksum(message: MQTTMessage) -> int:
    return crc32(bytes(message.payload), crc32(message.topic.encode()))
