"""`GET /anomalies`: the page. `GET /api/anomalies`: the same as JSON. `POST /api/anomalies/feedback`: people's word."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import Any

import msgspec

from app.anomaly.view import anomalies_view
from app.bank import app, feedback
from app.models import Feedback
from app.pages.answers import answer, refusal
from app.pages.navigation import page
from pelton import Request, Response, UnavailableError, View

__all__ = ["AnomalyFeedback", "anomalies", "anomalies_page"]


@app.page("/anomalies", name="anomalies-page")
async def anomalies_page(self: View, request: Request) -> Response:
    """Answer with the page."""
    return page(request, "anomalies", "Anomalies")


@app.page("/api/anomalies", name="anomalies")
async def anomalies(self: View, request: Request) -> Response:
    """Answer with the latest alerts, what was looked at without one, and how right all of it is; 503 at the start."""
    try:
        return answer(await anomalies_view())
    except UnavailableError as error:
        return refusal(HTTPStatus.SERVICE_UNAVAILABLE, error.message)


@app.page("/api/anomalies/feedback", name="anomaly-feedback")
class AnomalyFeedback(View):
    """Takes people's word about a judgement."""

    async def post(self, request: Request, **_: Any) -> Response:
        """Answer 202 once it is durable, 400 naming what is wrong with {"judgement":, "key":, "right":}, or 503."""
        try:
            given = msgspec.json.decode(await request.read(), type=dict[str, Any])
            said = msgspec.convert({**given, "ts": time.time()}, Feedback)
            await (await feedback.send(key=said.key, value=said))
        except (msgspec.DecodeError, RecursionError) as error:
            return refusal(HTTPStatus.BAD_REQUEST, str(error) or "nested too deeply")
        except UnavailableError as error:
            return refusal(HTTPStatus.SERVICE_UNAVAILABLE, error.message)
        return answer({"judgement": said.judgement}, HTTPStatus.ACCEPTED)
