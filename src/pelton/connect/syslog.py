"""Syslog messages over UDP and TCP, as rsyslog, syslog-ng and devices send them (RFC 5424, and RFC 3164 before it).

    logs = app.source(Syslog(port=5514), to=app.topic("syslog", value_type=SyslogMessage))

Over TCP a sender is read no faster than commits are. But syslog has no acknowledgements: what was sent and not
committed when its worker dies is lost, and over UDP also what comes faster than it can be taken (counted). Where that
must not be, let rsyslog write to Kafka itself (omkafka), with a queue on its disk.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Literal, cast

import msgspec

from pelton.connect.contract import SourceBatch, SourceRecord
from pelton.errors import ConfigurationError, DecodeError, UnavailableError

__all__ = ["Syslog", "SyslogMessage", "parse_syslog"]

logger = logging.getLogger(__name__)

SEVERITIES = ("emergency", "alert", "critical", "error", "warning", "notice", "info", "debug")
_WAITING_MAX = 10_000
_BATCH = 1_000
#: What a message may have; RFC 5424 asks receivers for 2,048 bytes at least.
_BYTES_MAX = 64 * 1024


class SyslogMessage(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message. timestamp: seconds since the epoch; None where it has none. data: its structured data, by id.

    severity: a word, from "emergency" to "debug". sender: the address that it came from.
    """

    text: str
    severity: str = "notice"
    facility: int = 1
    host: str = ""
    app: str = ""
    pid: str = ""
    message_id: str = ""
    timestamp: float | None = None
    data: dict[str, dict[str, str]] = {}
    sender: str = ""


class Syslog:
    """A port that syslog messages are sent to; the worker that reads it listens there.

    host: the address to listen on, this machine's own by default. protocols: "udp", "tcp" or both.
    Values are `SyslogMessage`s, keys the host that a message is of, so that one host's messages stay in order.
    Raises: ConfigurationError.
    """

    def __init__(
        self, port: int = 514, *, host: str = "127.0.0.1", protocols: tuple[Literal["udp", "tcp"], ...] = ("udp", "tcp")
    ) -> None:
        if not 0 < port < 65_536:
            raise ConfigurationError(f"Syslog: port: expected 1 to 65535, got {port}")
        if not protocols or not set(protocols) <= {"udp", "tcp"}:
            raise ConfigurationError(f'Syslog: protocols: expected "udp", "tcp" or both, got {protocols!r}')
        self.port = port
        self.host = host
        self.protocols = protocols

    async def open(self, positions: Mapping[str, Any]) -> _Listener:
        """Listen."""
        listener = _Listener(self)
        await listener.listen()
        return listener

    def __repr__(self) -> str:
        return f"Syslog({self.host}:{self.port} {'+'.join(self.protocols)})"


class _Listener(asyncio.DatagramProtocol):
    """What has come and was not read. dropped: datagrams there was no room for."""

    def __init__(self, syslog: Syslog) -> None:
        self._syslog = syslog
        self._came: asyncio.Queue[SourceRecord] = asyncio.Queue(_WAITING_MAX)
        self._server: asyncio.Server | None = None
        self._datagrams: asyncio.DatagramTransport | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.dropped = 0

    async def listen(self) -> None:
        """Open the sockets. Raises: UnavailableError."""
        loop, syslog = asyncio.get_running_loop(), self._syslog
        try:
            if "tcp" in syslog.protocols:
                self._server = await asyncio.start_server(self._serve, syslog.host, syslog.port, limit=_BYTES_MAX)
            if "udp" in syslog.protocols:
                address = syslog.host, syslog.port
                self._datagrams, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=address)
        except OSError as error:
            await self.close()
            raise UnavailableError(f"{syslog!r}: could not listen: {error}") from error

    async def read(self) -> SourceBatch:
        """Return what has come."""
        records = [await self._came.get()]
        while not self._came.empty() and len(records) < _BATCH:
            records.append(self._came.get_nowait())
        return SourceBatch(records)

    async def committed(self, batch: SourceBatch) -> None:
        """Do nothing: nobody waits for an answer."""

    async def close(self) -> None:
        """Close the sockets."""
        if self._server is not None:
            self._server.close()
        if self._datagrams is not None:
            self._datagrams.close()
        for connection in list(self._connections):
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    # -- UDP ---------------------------------------------------------------------------------------

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        """Take one datagram, which is one message."""
        try:
            self._came.put_nowait(_record(data, str(addr[0])))
        except asyncio.QueueFull:
            self.dropped += 1
            if self.dropped.bit_count() == 1:  # the 1st, 2nd, 4th, …: a flood does not flood the log
                logger.warning("%r: %d datagrams came faster than they could be taken", self._syslog, self.dropped)

    # -- TCP ---------------------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = cast("asyncio.Task[None]", asyncio.current_task())
        self._connections.add(connection)
        sender = str(writer.get_extra_info("peername")[0])
        try:
            while (data := await _frame(reader)) is not None:
                if data:
                    await self._came.put(_record(data, sender))
        except (ConnectionError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            logger.warning("%r: the connection of %s is closed: %s", self._syslog, sender, error)
        finally:
            self._connections.discard(connection)
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


async def _frame(reader: asyncio.StreamReader) -> bytes | None:
    """Return the next message of a connection, None at its end.

    Source: RFC 6587: a message is counted in octets, `12 <34>1 …`, or ends with a line feed.
    Raises: ValueError, IncompleteReadError, LimitOverrunError.
    """
    first = await reader.read(1)
    if not first:
        return None
    if not first.isdigit():
        try:
            return (first + await reader.readuntil(b"\n")).strip(b"\r\n\0")
        except asyncio.IncompleteReadError as error:
            return (first + error.partial).strip(b"\r\n\0")
    count = first + (await reader.readuntil(b" "))[:-1]
    if not count.isdigit() or int(count) > _BYTES_MAX:
        raise ValueError(f"expected the length of a message, got {count[:20]!r}")
    return await reader.readexactly(int(count))


def _record(data: bytes, sender: str) -> SourceRecord:
    message = parse_syslog(data, sender)
    return SourceRecord(message, (message.host or sender).encode(errors="replace"), message.timestamp)


# -- messages --------------------------------------------------------------------------------------

_PRIORITY = re.compile(r"<(\d{1,3})>")
_RFC5424 = re.compile(r"1 (\S+) (\S+) (\S+) (\S+) (\S+) ")
_RFC3164 = re.compile(r"([A-Z][a-z]{2}) ([ \d]\d) (\d\d):(\d\d):(\d\d) ")
_TAG = re.compile(r"([^\s:\[]{1,48})(?:\[([^\]]{1,32})\])?: ?")
_DATA = re.compile(r'\[([^\s=\]"]{1,64})((?: [^\s=\]"]{1,64}="(?:[^"\\\]]|\\.)*")*)\]')
_PARAMETER = re.compile(r' ([^\s=\]"]{1,64})="((?:[^"\\\]]|\\.)*)"')
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def parse_syslog(data: bytes, sender: str = "", now: datetime | None = None) -> SyslogMessage:
    r"""Return what a message says; of one that follows no standard, the text. It never fails.

    now: tells the year of a message of RFC 3164, which does not say it; the wall clock when None.

    >>> parse_syslog(b"<165>1 2003-10-11T22:14:15.003Z web.example.com app 7 ID47 - \xef\xbb\xbfstarted").text
    'started'
    """
    text = data.decode(errors="replace")
    priority = _PRIORITY.match(text)
    if priority is None or int(priority[1]) > 191:
        return SyslogMessage(text.strip(), sender=sender)
    facility, severity = divmod(int(priority[1]), 8)
    rest = text[priority.end() :]
    common: dict[str, Any] = {"facility": facility, "severity": SEVERITIES[severity], "sender": sender}
    header = _RFC5424.match(rest)
    if header is not None:
        try:
            return _rfc5424(header, rest[header.end() :], common)
        except DecodeError:
            return SyslogMessage(rest.strip(), **common)
    return _rfc3164(rest, common, now or datetime.now(UTC))


def _rfc5424(header: re.Match[str], rest: str, common: dict[str, Any]) -> SyslogMessage:
    timestamp, host, app, pid, message_id = ("" if part == "-" else part for part in header.groups())
    data, text = _structured(rest)
    return SyslogMessage(
        text.removeprefix("\ufeff").rstrip("\r\n"),
        host=host,
        app=app,
        pid=pid,
        message_id=message_id,
        timestamp=_iso(timestamp),
        data=data,
        **common,
    )


def _iso(timestamp: str) -> float | None:
    if not timestamp:
        return None
    try:
        found = datetime.fromisoformat(timestamp)
    except ValueError as error:
        raise DecodeError(f"expected a time, got {timestamp[:40]!r}") from error
    return found.replace(tzinfo=found.tzinfo or UTC).timestamp()


def _structured(rest: str) -> tuple[dict[str, dict[str, str]], str]:
    """Return the structured data, and the text behind it. Raises: DecodeError."""
    if rest.startswith("-"):
        return {}, rest[1:].removeprefix(" ")
    data: dict[str, dict[str, str]] = {}
    end = 0
    for element in _elements(rest):
        data[element[1]] = {
            name: re.sub(r"\\([\"\\\]])", r"\1", value) for name, value in _PARAMETER.findall(element[2])
        }
        end = element.end()
    if not data:
        raise DecodeError("expected structured data or -")
    return data, rest[end:].removeprefix(" ")


def _elements(rest: str) -> Iterator[re.Match[str]]:
    at = 0
    while (element := _DATA.match(rest, at)) is not None:
        yield element
        at = element.end()


def _rfc3164(rest: str, common: dict[str, Any], now: datetime) -> SyslogMessage:
    timestamp, host = None, ""
    header = _RFC3164.match(rest)
    if header is not None and header[1] in _MONTHS:
        timestamp = _without_year(header, now)
        host, _, rest = rest[header.end() :].partition(" ")
    tag = _TAG.match(rest)
    app, pid = (tag[1], tag[2] or "") if tag is not None else ("", "")
    text = rest[tag.end() :] if tag is not None else rest
    return SyslogMessage(text.strip(), host=host, app=app, pid=pid, timestamp=timestamp, **common)


def _without_year(header: re.Match[str], now: datetime) -> float | None:
    """Return the time of a header, which says no year and no zone: UTC, and the year in which it is nearest to now."""
    month, day, hour, minute, second = _MONTHS.index(header[1]) + 1, *map(int, header.groups()[1:])
    found: list[float] = []
    for year in (now.year - 1, now.year, now.year + 1):
        with suppress(ValueError):
            found.append(datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp())
    return min(found, key=lambda time: abs(time - now.timestamp()), default=None)
