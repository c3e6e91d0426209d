"""Deliveries over HTTP, signed by whoever sends them (HMAC-SHA256), answered once they are durable.

    payments = app.source(Webhook("/hooks/payments", secret=os.environ["PAYMENTS_SECRET"]), to=payment_events)

The signature is that of Stripe's and the Standard Webhooks' kind: over a time and the body, so that nobody can send a
delivery again later; or of GitHub's kind, over the body alone. The same delivery is taken once within the window, by
its id. 202 is the answer to one that is durable; the sender tries everything else again.
"""

from __future__ import annotations

import base64
import hmac
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from http import HTTPStatus
from typing import Any, Literal, cast

import orjson
from aiohttp import web

from pelton.connect.contract import SourceReader, SourceRecord
from pelton.errors import ConfigurationError, PeltonError

__all__ = ["SignatureScheme", "Webhook"]

logger = logging.getLogger(__name__)

SignatureScheme = Literal["standard", "stripe", "github"]
_SECRET_CHARS_MIN = 16
#: What is taken of the headers; the rest is of no interest to anybody, or a secret.
_HEADERS_MAX_BYTES = 8 * 1024
#: Where the key of a delivery travels while its id is the key of the record.
_KEY = "pelton-webhook-id"

Accept = Callable[[SourceRecord], Awaitable[None]]


class Webhook:
    """Deliveries that are posted to a path of the worker's web server.

    secret: what the sender signs with; several while it is being changed. scheme: "standard" (webhook-id,
        webhook-timestamp and webhook-signature: the Standard Webhooks), "stripe" (Stripe-Signature: t=…,v1=…) or
        "github" (X-Hub-Signature-256 over the body alone, X-GitHub-Delivery).
    within: the replay window, in seconds or as a timedelta: how far the time of a signature may be off, and how long
        ids of deliveries are remembered. body_bytes_max: what is refused with 413 beyond it.
    Values are the bodies, as bytes; keys are None: give them with a decorated function. Raises: ConfigurationError.
    """

    def __init__(
        self,
        path: str,
        *,
        secret: str | list[str],
        scheme: SignatureScheme = "standard",
        within: float | timedelta = 300.0,
        body_bytes_max: int = 1024 * 1024,
    ) -> None:
        secrets = [secret] if isinstance(secret, str) else list(secret)
        if not secrets or min(map(len, secrets)) < _SECRET_CHARS_MIN:
            raise ConfigurationError(
                f"webhook {path}: the secret has fewer than {_SECRET_CHARS_MIN} characters",
                hint='make one with: python -c "import secrets; print(secrets.token_urlsafe(32))"',
            )
        if not path.startswith("/"):
            raise ConfigurationError(f"webhook {path}: expected a path", hint='write "/hooks/payments"')
        if scheme not in _SCHEMES:
            raise ConfigurationError(f"webhook {path}: scheme: expected one of {', '.join(_SCHEMES)}, got {scheme!r}")
        self.path = path
        self.scheme: SignatureScheme = scheme
        self.within = within.total_seconds() if isinstance(within, timedelta) else float(within)
        self.body_bytes_max = body_bytes_max
        self._secrets = [_secret(one) for one in secrets]

    async def open(self, positions: Mapping[str, Any]) -> SourceReader:
        """Raise ConfigurationError: nothing is read; deliveries come."""
        raise ConfigurationError(f"{self!r} is served, not read")

    async def answer(self, request: web.Request, accept: Accept, now: float) -> web.Response:
        """Take one delivery. accept: returns once a record is durable. now: seconds since the epoch."""
        body = await request.read()
        if len(body) > self.body_bytes_max:
            return _answer(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {self.body_bytes_max:,} bytes"
            )
        delivery_id = self.verified(request.headers, body, now)
        if delivery_id is None:
            return _answer(HTTPStatus.UNAUTHORIZED, "the signature is missing, wrong, or too old")
        record = SourceRecord(body, delivery_id.encode(), now, _kept(request.headers))
        try:
            await accept(record)
        except PeltonError as error:
            logger.warning("webhook %s: a delivery could not be kept: %s", self.path, error)
            return _answer(HTTPStatus.SERVICE_UNAVAILABLE, "it could not be kept: send it again", {"Retry-After": "1"})
        return _answer(HTTPStatus.ACCEPTED, None)

    def verified(self, headers: Mapping[str, str], body: bytes, now: float) -> str | None:
        """Return the id of a delivery whose signature is right and not too old; None for any other."""
        return _SCHEMES[self.scheme](headers, body, self._secrets, now, self.within)

    def delivered(self, record: SourceRecord) -> SourceRecord:
        """Return a delivery as the program sees it: its id is a header."""
        headers = (*record.headers, (_KEY, record.key))
        return replace(record, key=None, headers=headers)

    def __repr__(self) -> str:
        return f"Webhook({self.path!r})"


def _answer(status: HTTPStatus, error: str | None, headers: Mapping[str, str] | None = None) -> web.Response:
    body = orjson.dumps({"status": "accepted"} if error is None else {"error": error})
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)


def _kept(headers: Mapping[str, str]) -> tuple[tuple[str, bytes], ...]:
    """Return the headers that tell something about a delivery: its type, and those of the sender's own."""
    names = ("content-type", "user-agent")
    found = [
        (name.lower(), value.encode(errors="replace"))
        for name, value in headers.items()
        if name.lower() in names or (name.lower().startswith("x-") and "signature" not in name.lower())
    ]
    return tuple(found) if sum(len(name) + len(value) for name, value in found) <= _HEADERS_MAX_BYTES else ()


# -- signatures ------------------------------------------------------------------------------------


def _secret(text: str) -> bytes:
    """Return a secret's bytes; those of the Standard Webhooks are whsec_ and base64."""
    if not text.startswith("whsec_"):
        return text.encode()
    try:
        return base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except ValueError as error:
        raise ConfigurationError("a webhook's secret begins with whsec_, and is not base64 behind it") from error


def _digests(secrets: list[bytes], signed: bytes) -> list[bytes]:
    return [hmac.new(secret, signed, sha256).digest() for secret in secrets]


def _matches(digests: list[bytes], given: list[bytes]) -> bool:
    """Whether one is among those given; takes as long wherever they differ."""
    found = [hmac.compare_digest(digest, one) for digest in digests for one in given]
    return any(found)


def _fresh(time: str, now: float, within_s: float) -> bool:
    return time.isascii() and time.isdigit() and len(time) <= 12 and abs(now - int(time)) <= within_s


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return b""


def _hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""


def _standard(headers: Mapping[str, str], body: bytes, secrets: list[bytes], now: float, within_s: float) -> str | None:
    """Source: the Standard Webhooks' specification: `v1,<base64>` over id.time.body."""
    delivery, time = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not delivery or len(delivery) > 256 or not _fresh(time, now, within_s):
        return None
    signatures = headers.get("webhook-signature", "").split()
    given = [_base64(one.removeprefix("v1,")) for one in signatures if one.startswith("v1,")]
    signed = f"{delivery}.{time}.".encode(errors="replace") + body
    return delivery if _matches(_digests(secrets, signed), given) else None


def _stripe(headers: Mapping[str, str], body: bytes, secrets: list[bytes], now: float, within_s: float) -> str | None:
    """Source: Stripe's documentation: `t=…,v1=<hex>` over time.body; the id is that of the event, in the body."""
    parts = [part.strip().partition("=") for part in headers.get("Stripe-Signature", "").split(",")]
    times = [value for name, _, value in parts if name == "t"]
    if len(times) != 1 or not _fresh(times[0], now, within_s):
        return None
    given = [_hex(value) for name, _, value in parts if name == "v1"]
    digests = _digests(secrets, f"{times[0]}.".encode() + body)
    return _id_in(body) or digests[0].hex() if _matches(digests, given) else None


def _id_in(body: bytes) -> str | None:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    named = cast("dict[str, object]", found).get("id") if isinstance(found, dict) else None
    return named if isinstance(named, str) and 0 < len(named) <= 256 else None


def _github(headers: Mapping[str, str], body: bytes, secrets: list[bytes], now: float, within_s: float) -> str | None:
    """Source: GitHub's documentation: `sha256=<hex>` over the body, without a time."""
    delivery, signature = headers.get("X-GitHub-Delivery", ""), headers.get("X-Hub-Signature-256", "")
    if not delivery or len(delivery) > 256 or not signature.startswith("sha256="):
        return None
    digests = _digests(secrets, body)
    # The id is not signed: whoever sends the body again under another id is told from it by the body.
    return digests[0].hex() if _matches(digests, [_hex(signature.removeprefix("sha256="))]) else None


_SCHEMES: dict[str, Callable[[Mapping[str, str], bytes, list[bytes], float, float], str | None]] = {
    "standard": _standard,
    "stripe": _stripe,
    "github": _github,
}
