"""Requests to an application's pages, through its own guard, without a socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp.base_protocol import BaseProtocol
from aiohttp.streams import StreamReader
from aiohttp.test_utils import make_mocked_request
from aiohttp.web import Application, HTTPException, Response
from multidict import CIMultiDict

from pelton.errors import ConfigurationError

__all__ = ["Answer", "answer_to"]

#: The guard answers requests that name this machine.
_HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a page answered. headers: by name, in any case of letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    def json(self) -> Any:
        """Return what the body says. Raises: ValueError when it is no JSON."""
        return json.loads(self.body)


async def answer_to(
    application: Application, method: str, path: str, body: bytes, headers: Mapping[str, str]
) -> Answer:
    """Have a page answer a request. Raises: ConfigurationError for an answer that is streamed, or a WebSocket."""
    application.freeze()
    named = CIMultiDict({"Host": _HOST, "Content-Length": str(len(body)), **headers})
    request = make_mocked_request(method, path, headers=named, payload=_payload(body), app=application)
    try:
        response = await application._handle(request)  # pyright: ignore[reportPrivateUsage] - what its server calls
    except HTTPException as error:  # what a page raises to answer with it, as the server sees it
        response = error
    if not isinstance(response, Response) or not isinstance(response.body, bytes | None):
        raise ConfigurationError(
            f"{method} {path} answers with a {type(response).__name__}, which needs a connection",
            hint="start a worker for it",
        )
    return Answer(response.status, response.headers, response.body or b"")


def _payload(body: bytes) -> StreamReader:
    loop = asyncio.get_running_loop()
    payload = StreamReader(BaseProtocol(loop), max(2**16, len(body)), loop=loop)
    if body:
        payload.feed_data(body)
    payload.feed_eof()
    return payload
