"""`GET /alerts?account=…&limit=…`: the latest alerts, of one account or of all."""

from __future__ import annotations

from http import HTTPStatus

from app.bank import app
from app.pages.answers import answer, refusal
from app.tables import ALERTS_KEPT
from app.view import alerts_of, latest, latest_of_all
from pelton import HomeLine, Request, Response, UnavailableError, View

__all__ = ["alert_lines", "alerts_page"]

LIMIT_MAX = 100


@app.page("/alerts", name="alerts")
async def alerts_page(self: View, request: Request) -> Response:
    """Answer with alerts, newest first; 400 for a bad limit, 503 when nobody can tell now."""
    account, wanted = request.query.get("account"), request.query.get("limit", str(ALERTS_KEPT))
    limit = _limit(wanted)
    if limit is None:
        return refusal(HTTPStatus.BAD_REQUEST, f"expected 1 to {LIMIT_MAX}, got {wanted[:32]!r}", field="limit")
    try:
        if not account:
            return answer({"scope": "all accounts", "alerts": await latest_of_all(limit)})
        return answer({"scope": f"account {account}", "alerts": (await alerts_of(account))[:limit]})
    except UnavailableError as error:
        return refusal(HTTPStatus.SERVICE_UNAVAILABLE, error.message)


def _limit(wanted: str) -> int | None:
    """Return the number of alerts asked for, or None when it is none that we give."""
    if not (wanted.isascii() and wanted.isdigit() and len(wanted) <= 9):
        return None
    limit = int(wanted)
    return limit if 1 <= limit <= LIMIT_MAX else None


@app.home_card("Latest alerts", "/payments")
def alert_lines() -> list[HomeLine]:
    """Return what Home shows of the alerts that this worker saw last."""
    return [HomeLine(f"{alert.rule.replace('_', ' ')}: {alert.account}", ts=alert.ts) for alert in latest(ALERTS_KEPT)]
