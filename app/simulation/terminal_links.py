"""How card terminals that keep no log tell the hub what they do: by a signed webhook, or by syslog over TCP.

A webhook is sent until it was accepted, under one id, as senders of webhooks do. Syslog has no answers: what is sent
and not committed when the worker dies is lost.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from base64 import b64decode, b64encode
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any
from uuid import uuid4

import aiohttp

from app.models.terminal import TerminalEvent

__all__ = ["Send", "by_syslog", "by_webhook"]

#: How long to wait before what nobody took is sent again.
AGAIN_S = 0.2

#: Sends an event, and returns what is awaited until it has arrived.
Send = Callable[[TerminalEvent], Awaitable[Awaitable[Any]]]


@asynccontextmanager
async def by_webhook(url: str, secret: str) -> AsyncGenerator[Send, None]:
    """Give what sends an event to a worker's `/hooks/terminals`, signed by the scheme of Standard Webhooks.

    Raises (what is awaited): aiohttp.ClientResponseError when the worker refuses it, such as for its signature.
    """
    key = b64decode(secret.removeprefix("whsec_")) if secret.startswith("whsec_") else secret.encode()

    async def deliver(session: aiohttp.ClientSession, body: bytes) -> None:
        delivery = f"msg_{uuid4().hex}"
        while True:
            at = str(int(time.time()))
            signed = b64encode(hmac.new(key, f"{delivery}.{at}.".encode() + body, sha256).digest()).decode()
            headers = {"webhook-id": delivery, "webhook-timestamp": at, "webhook-signature": f"v1,{signed}"}
            try:
                async with session.post(f"{url}/hooks/terminals", data=body, headers=headers) as answer:
                    if answer.status < 500:
                        answer.raise_for_status()
                        return
            except (aiohttp.ClientConnectionError, TimeoutError):
                pass
            await asyncio.sleep(AGAIN_S)

    async with aiohttp.ClientSession() as session:

        async def send(event: TerminalEvent) -> Awaitable[Any]:
            return asyncio.create_task(deliver(session, event.line().encode()))

        yield send


@asynccontextmanager
async def by_syslog(port: int) -> AsyncGenerator[Send, None]:
    """Give what sends an event to a port of this machine (RFC 5424, counted in octets by RFC 6587), once it is open."""
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            break
        except ConnectionRefusedError:
            await asyncio.sleep(AGAIN_S)

    async def send(event: TerminalEvent) -> Awaitable[Any]:
        message = f"<14>1 - {event.terminal.replace(' ', '-')} terminal - - - {event.line().strip()}".encode()
        writer.write(b"%d %s" % (len(message), message))
        await writer.drain()
        return asyncio.sleep(0)

    try:
        yield send
    finally:
        writer.close()
        await writer.wait_closed()
