"""`GET /alerts?account=…&limit=…`: the latest alerts, of one account or of this worker."""

from __future__ import annotations

from http import HTTPStatus
from itertools import islice

import msgspec

from app.agents import latest_alerts
from app.bank import app
from app.tables import ALERTS_KEPT
from app.view import Elsewhere, alerts_of
from pelton import Request, Response, View

__all__ = ["alerts_page"]

LIMIT_MAX = 100


@app.page("/alerts", name="alerts")
async def alerts_page(self: View, request: Request) -> Response:
    """Answer with alerts, newest first; 400 for a bad limit, 503 when another worker holds the account."""
    account, limit = request.query.get("account"), request.query.get("limit", str(ALERTS_KEPT))
    if not limit.isascii() or not limit.isdigit() or not 1 <= int(limit[:9]) <= LIMIT_MAX:
        return self.error(HTTPStatus.BAD_REQUEST, f"expected 1 to {LIMIT_MAX}, got {limit[:32]!r}", field="limit")
    if not account:
        latest = list(islice(latest_alerts, int(limit)))
        return self.json({"scope": "what this worker saw since it started", "alerts": msgspec.to_builtins(latest)})
    try:
        found = alerts_of(account)[: int(limit)]
    except Elsewhere as error:
        return self.error(HTTPStatus.SERVICE_UNAVAILABLE, str(error), worker=error.worker)
    return self.json({"scope": f"account {account}", "alerts": msgspec.to_builtins(found)})
