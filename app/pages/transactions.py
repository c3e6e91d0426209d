"""`POST /transactions`: the way in over HTTP.

All transactions of a body are taken, or none is; the answer 202 means that they are durable. Sending a body
again is safe in so far as a transaction carries its sender's id, and alerts bear it.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

from app.bank import app, transactions
from app.models import Transaction
from app.pages.answers import answer, refusal
from app.submission import Rejected, parse_json, parse_lines
from pelton import Request, Response, UnavailableError, View

__all__ = ["Transactions"]

NDJSON = {"application/x-ndjson", "application/ndjson", "application/jsonl"}


@app.page("/transactions")
class Transactions(View):
    """Takes transactions as a JSON object, a JSON array or NDJSON (by content type)."""

    async def post(self, request: Request, **_: Any) -> Response:
        """Answer 202 with the ids, 400 naming the field, or 503; the server itself answers 413 to what is too large."""
        try:
            accepted = _parse(request.headers.get("Content-Type", ""), await request.read())
            await _send(accepted)
        except Rejected as error:
            return refusal(HTTPStatus.BAD_REQUEST, error.message, **error.where)
        except UnavailableError as error:
            return refusal(HTTPStatus.SERVICE_UNAVAILABLE, error.message)
        return answer({"accepted": len(accepted), "ids": [tx.id for tx in accepted]}, HTTPStatus.ACCEPTED)


def _parse(content_type: str, body: bytes) -> list[Transaction]:
    media_type = content_type.partition(";")[0].strip().lower()
    return parse_lines(body) if media_type in NDJSON else parse_json(body)


async def _send(accepted: list[Transaction]) -> None:
    """Send transactions, and return when all are durable."""
    receipts = [await transactions.send(key=tx.account, value=tx) for tx in accepted]
    await asyncio.gather(*receipts)
