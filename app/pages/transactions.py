"""`POST /transactions`: the way in over HTTP.

All transactions of a body are taken, or none is; the answer 202 means that they are durable. Sending a body
again is safe in so far as a transaction carries its sender's id, and alerts bear it.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from aiohttp.web import HTTPRequestEntityTooLarge

from app.bank import BODY_BYTES_MAX, app, transactions
from app.submission import Rejected, parse_json, parse_lines
from pelton import Request, Response, UnavailableError, View

__all__ = ["Transactions"]

NDJSON = {"application/x-ndjson", "application/ndjson", "application/jsonl"}


@app.page("/transactions")
class Transactions(View):
    """Takes transactions as a JSON object, a JSON array or NDJSON (by content type)."""

    async def post(self, request: Request) -> Response:
        """Answer 202 with the ids, 400 naming the field, 413 or 503."""
        try:
            body = await request.read()
            parse = parse_lines if request.content_type in NDJSON else parse_json
            accepted = parse(body)
        except HTTPRequestEntityTooLarge:
            return self.error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body too large", bytes_max=BODY_BYTES_MAX)
        except Rejected as error:
            where = {"field": error.field, "index": error.index, "line": error.line}
            known = {name: value for name, value in where.items() if value is not None}
            return self.error(HTTPStatus.BAD_REQUEST, error.message, **known)
        try:
            await asyncio.gather(*[await transactions.send(key=tx.account, value=tx) for tx in accepted])
        except UnavailableError as error:
            return self.error(HTTPStatus.SERVICE_UNAVAILABLE, str(error), headers={"Retry-After": "1"})
        return self.json({"accepted": len(accepted), "ids": [tx.id for tx in accepted]}, status=HTTPStatus.ACCEPTED)
