"""The REST interface of a Kafka Connect cluster: connectors, their configurations, and how they are.

    async with KafkaConnect("http://127.0.0.1:8083") as cluster:
        await cluster.put(connector)
        status = await cluster.status(connector.name)

This module asks and tells; what is to be done with connectors is in `pelton.connect.applying`.
Source: https://kafka.apache.org/documentation/#connect_rest
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec

from pelton.errors import ConfigurationError, UnavailableError

__all__ = ["Connector", "KafkaConnect", "Part", "Status", "explained", "read_connectors"]

T = TypeVar("T")

#: Between two questions about the same.
POLL_S = 0.25
#: What one request may take: Connect itself gives up after 90 s.
REQUEST_TIMEOUT_S = 95.0
#: Answers that pass: the cluster is handing out its work anew, or is not up yet.
_PASSING = (HTTPStatus.CONFLICT, HTTPStatus.SERVICE_UNAVAILABLE)


class Connector(msgspec.Struct, frozen=True):
    """A connector as a file of deploy/connect has it: {"name": …, "config": {…}}, the body of POST /connectors."""

    name: str
    config: Mapping[str, str]


class Part(msgspec.Struct, frozen=True):
    """How a connector, or one of its tasks, is. state: RUNNING, FAILED, PAUSED, STOPPED, UNASSIGNED or RESTARTING.

    worker_id: host:port of the worker that runs it. trace: of the error that it failed on, as Java prints it.
    """

    state: str
    worker_id: str = ""
    id: int = -1
    trace: str = ""

    @property
    def name(self) -> str:
        """What it is, in words."""
        return "the connector" if self.id < 0 else f"task {self.id}"


class Status(msgspec.Struct, frozen=True):
    """A connector's status. type: source or sink."""

    name: str
    connector: Part
    tasks: Sequence[Part]
    type: str = ""

    @property
    def parts(self) -> Sequence[Part]:
        """The connector itself, and its tasks."""
        return [self.connector, *self.tasks]

    @property
    def running(self) -> bool:
        """Whether it does its work: every part of it runs, and there is one that reads or writes."""
        return bool(self.tasks) and all(part.state == "RUNNING" for part in self.parts)

    @property
    def stopped(self) -> bool:
        """Whether nothing of it runs any more."""
        return self.connector.state == "STOPPED" and not self.tasks

    @property
    def failed(self) -> Sequence[Part]:
        """The parts that have failed, and stay so until they are restarted."""
        return [part for part in self.parts if part.state == "FAILED"]


class _FieldValue(msgspec.Struct, frozen=True):
    name: str
    errors: Sequence[str] = ()


class _Field(msgspec.Struct, frozen=True):
    value: _FieldValue | None = None


class _Validation(msgspec.Struct, frozen=True):
    configs: Sequence[_Field]


def read_connectors(path: Path) -> list[Connector]:
    """Return the connector in a JSON file, or those in the JSON files of a directory, by the files' names.

    Numbers and booleans are taken as the text that Connect makes of them.
    Raises: ConfigurationError when there is none, or a file is no connector.
    """
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not files:
        raise ConfigurationError(f"there is no connector in {path}: no file *.json")
    return [_read(file) for file in files]


def _read(file: Path) -> Connector:
    try:
        found = msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
        config = {name: _text(value) for name, value in msgspec.convert(found["config"], dict[str, Any]).items()}
        connector = Connector(msgspec.convert(found["name"], str), config)
    except (OSError, msgspec.DecodeError, msgspec.ValidationError, KeyError) as error:
        raise ConfigurationError(
            f"could not read a connector from {file}: {error}", hint='expected {"name": "…", "config": {"…": "…"}}'
        ) from error
    if not connector.name or connector.config.get("name", connector.name) != connector.name:
        raise ConfigurationError(f"could not read a connector from {file}: its name is empty, or there are two")
    return Connector(connector.name, {key: value for key, value in config.items() if key != "name"})


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    raise msgspec.ValidationError(f"expected text, a number or a boolean, got {value!r}")


def explained(trace: str) -> str:
    r"""Return what a Java stack trace says, without the stack: each error that led to the next, on a line.

    >>> explained("a.b.ConnectException: no snapshot\n\tat a.b.C.d(C.java:1)\nCaused by: e.SQLException: no slot")
    'ConnectException: no snapshot\nbecause SQLException: no slot'
    """
    lines: list[str] = []
    for line in trace.splitlines():
        if not line.strip() or re.match(r"\s+(at |\.\.\. |Suppressed: )", line):
            continue
        cause = line.startswith("Caused by: ")
        said = re.sub(r"^(?:[\w$]+\.)+([\w$]+)(?=:|$)", r"\1", line.removeprefix("Caused by: ").strip())
        if cause and lines and lines[-1].endswith(said):
            continue
        lines.append(f"because {said}" if cause else said)
    return "\n".join(lines)


class KafkaConnect:
    """A Kafka Connect cluster, by the REST interface of one of its workers.

    patience_s: how long is waited for an answer while the worker starts, or the cluster hands out its work anew.
    """

    def __init__(self, url: str, patience_s: float = 60.0) -> None:
        self._url = url.rstrip("/")
        self._patience_s = patience_s
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S)
        # Also where there is no body: otherwise aiohttp names another type, which Connect does not take.
        self._session = aiohttp.ClientSession(timeout=timeout, headers={"Content-Type": "application/json"})
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def names(self) -> list[str]:
        """Return the names of all connectors, sorted."""
        return sorted(_decoded(await self._ask("GET", "/connectors"), list[str]))

    async def config(self, name: str) -> Mapping[str, str] | None:
        """Return a connector's configuration, without its name; None when there is no such connector."""
        answer = await self._ask("GET", f"/connectors/{_quoted(name)}/config")
        if answer is None:
            return None
        return {key: value for key, value in _decoded(answer, dict[str, str]).items() if key != "name"}

    async def status(self, name: str) -> Status | None:
        """Return how a connector is; None when there is none, or it has not been started yet."""
        answer = await self._ask("GET", f"/connectors/{_quoted(name)}/status")
        return None if answer is None else _decoded(answer, Status)

    async def faults(self, connector: Connector) -> list[str]:
        """Return what the connector's own class says is wrong with its configuration: `field: what is wrong`."""
        plugin = connector.config.get("connector.class", "")
        if not plugin:
            return ["connector.class: it is missing"]
        body = {**connector.config, "name": connector.name}
        answer = await self._ask("PUT", f"/connector-plugins/{_quoted(plugin)}/config/validate", body)
        values = [field.value for field in _decoded(answer, _Validation).configs if field.value]
        return [f"{value.name}: {error}" for value in values for error in value.errors]

    async def put(self, connector: Connector) -> None:
        """Make a connector, or give it another configuration, with which it is started."""
        await self._ask("PUT", f"/connectors/{_quoted(connector.name)}/config", dict(connector.config))

    async def stop(self, name: str) -> None:
        """Have a connector end its tasks and start none, until it is resumed."""
        await self._ask("PUT", f"/connectors/{_quoted(name)}/stop")

    async def resume(self, name: str) -> None:
        """Have a stopped or paused connector work."""
        await self._ask("PUT", f"/connectors/{_quoted(name)}/resume")

    async def delete(self, name: str) -> bool:
        """Delete a connector; returns whether there was one. Where a source was stays known under its name."""
        return await self._ask("DELETE", f"/connectors/{_quoted(name)}") is not None

    async def _ask(self, method: str, path: str, body: Any = None) -> bytes | None:
        """Return the body of an answer; None when what was asked for is not there.

        Raises: ConfigurationError for what Connect refuses; UnavailableError when it has not answered in time.
        """
        deadline = time.monotonic() + self._patience_s
        while True:
            status, text = await self._once(method, path, body)
            if status == HTTPStatus.NOT_FOUND:
                return None
            if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
                return text
            if not _passes(status, text):
                raise ConfigurationError(f"Kafka Connect refused {method} {path}: {_message(text)}")
            if time.monotonic() > deadline:
                raise UnavailableError(
                    f"waited {self._patience_s:g} s in vain for Kafka Connect on {self._url}: {_message(text)}",
                    hint="is it running? --url, or KAFKA_CONNECT_URL, says where; `make connect` starts one",
                )
            await asyncio.sleep(POLL_S)

    async def _once(self, method: str, path: str, body: Any) -> tuple[int, bytes]:
        """Return status and body of an answer; 0, and why, when there is none."""
        try:
            async with self._session.request(method, self._url + path, json=body) as answer:
                return answer.status, await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            return 0, (str(error) or type(error).__name__).encode()


def _decoded(answer: bytes | None, kind: type[T]) -> T:
    """Return an answer as it must be. Raises: ConfigurationError when it is of another server."""
    try:
        return msgspec.json.decode(answer or b"", type=kind)
    except msgspec.DecodeError as error:
        raise ConfigurationError(f"what answered is no Kafka Connect: {error}") from error


def _passes(status: int, text: bytes) -> bool:
    """Return whether the same may be answered otherwise later: nobody answered, or the answer was "not now"."""
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return b"timed out" in text
    return not status or status in _PASSING


def _message(text: bytes) -> str:
    """Return what an error's body says: Connect's message, or all of it."""
    try:
        return str(msgspec.json.decode(text, type=dict[str, Any])["message"])
    except (msgspec.DecodeError, KeyError):
        return text.decode(errors="replace")


def _quoted(name: str) -> str:
    return quote(name, safe="")
