"""Asking another worker, over HTTP, with the token that all of them have."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Mapping

import aiohttp
import msgspec

from pelton.errors import UnavailableError
from pelton.web.wire import ROWS_PATH, RowsRequest, WorkerRows, decode_rows

__all__ = ["Peers"]

#: A worker whose loop is busy answers within a slice or a few; one that is suspended takes the connection and is
#: silent.
_ANSWER_S = 2.0
_CONNECTIONS_MAX = 64


class Peers:
    """The other workers.

    headers: what every request brings. tls: how their certificates are checked; None for plain HTTP.
    """

    def __init__(self, headers: Mapping[str, str], tls: ssl.SSLContext | None = None) -> None:
        self._headers = headers
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    async def ask(self, address: str, request: RowsRequest) -> WorkerRows:
        """Return a worker's answer. address: its host:port. Raises: UnavailableError."""
        body = await self._body(address, "POST", ROWS_PATH, msgspec.msgpack.encode(request))
        try:
            return decode_rows(body)
        except msgspec.MsgspecError as error:
            raise UnavailableError(f"worker {address} answered what cannot be read: {error}") from error

    async def get(self, address: str, path: str) -> bytes:
        """Return what a worker answers with at one of its addresses. Raises: UnavailableError."""
        return await self._body(address, "GET", path)

    async def _body(self, address: str, method: str, path: str, data: bytes | None = None) -> bytes:
        scheme = "http" if self._tls is None else "https"
        try:
            async with self._opened().request(
                method, f"{scheme}://{address}{path}", data=data, headers=self._headers
            ) as answer:
                body = await answer.read()
        except TimeoutError as error:
            raise UnavailableError(f"worker {address} did not answer within {_ANSWER_S:.0f} s") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:  # ValueError: an address that is none
            raise UnavailableError(f"worker {address} did not answer: {_reason(error)}") from error
        if answer.status != 200:
            raise UnavailableError(f"worker {address} answered {answer.status}")
        return body

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=_CONNECTIONS_MAX, ssl=self._tls if self._tls is not None else True)
            timeout = aiohttp.ClientTimeout(total=_ANSWER_S)
            self._session = aiohttp.ClientSession(connector=connector, timeout=timeout, trust_env=False)
        return self._session

    async def close(self) -> None:
        """Close the connections. Idempotent."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()
            await asyncio.sleep(0)  # aiohttp closes its transports in the loop's next turn


def _reason(error: Exception) -> str:
    """Return why, in words for people: aiohttp tells of its own settings, and has no words for some errors."""
    number = error.errno if isinstance(error, OSError) else None
    if number is not None and number > 0:  # those of names, which the system does not know, are below
        return os.strerror(number).lower()
    return str(error) or type(error).__name__
