"""`GET /reviews`: how each product's reviews, and messages in chats, sound; `GET /api/moods`: the hours as JSON.

`POST /reviews` takes a new review.
"""

from __future__ import annotations

import time
from html import escape
from http import HTTPStatus
from typing import Annotated, Any
from uuid import uuid4

import msgspec
from msgspec import Meta

from app.bank import app, reviews
from app.everywhere import rows_of, value_of
from app.models import CHAT, MoodAlert, MoodHour, MoodTrend, Review
from app.pages.answers import answer, refusal
from app.pages.navigation import made
from app.tables import moods
from pelton import Request, Response, UnavailableError, View

__all__ = ["Reviews", "product_moods"]

BAR_WIDTH = 10
HALF_HEIGHT = 30


class Submitted(msgspec.Struct):
    """A review as a customer's client posts it; the bank adds the id and the time."""

    product: Annotated[str, Meta(min_length=1, max_length=64)]
    text: Annotated[str, Meta(min_length=1, max_length=5_000)]
    stars: Annotated[int, Meta(ge=1, le=5)] | None = None


_decode = msgspec.json.Decoder(Submitted).decode


@app.page("/reviews")
class Reviews(View):
    """The page of all products, and the way in for reviews."""

    async def get(self, request: Request, **_: Any) -> Response:
        """Answer with the page; 503 when not all can be told now."""
        try:
            found = await rows_of(moods)
        except UnavailableError as error:
            return refusal(HTTPStatus.SERVICE_UNAVAILABLE, error.message)
        shown = "".join(_product(name, trend) for name, trend in sorted(found, key=lambda row: row[0]))
        products = shown or "<p>No hour of reviews or messages is over yet.</p>"
        return made(request, "Reviews and messages, hour by hour", products)

    async def post(self, request: Request, **_: Any) -> Response:
        """Answer 202 with the id once the review is durable, 400 naming what is wrong, or 503."""
        try:
            given = _decode(await request.read())
            if given.product == CHAT:
                return refusal(HTTPStatus.BAD_REQUEST, f"{CHAT!r} is no product: it stands for messages in chats")
            one = Review(uuid4().hex, given.product, given.text, time.time(), given.stars)
            await (await reviews.send(key=one.product, value=one))
        except (msgspec.DecodeError, RecursionError) as error:
            return refusal(HTTPStatus.BAD_REQUEST, str(error) or "nested too deeply")
        except UnavailableError as error:
            return refusal(HTTPStatus.SERVICE_UNAVAILABLE, error.message)
        return answer({"id": one.id}, HTTPStatus.ACCEPTED)


@app.page("/api/moods", name="moods")
async def product_moods(self: View, request: Request) -> Response:
    """Answer with hours and alerts of one product (?product=…, or chat), or of all; 503 when nobody can tell now."""
    wanted = request.query.get("product")
    try:
        if wanted is not None:
            return answer(_told(await value_of(moods, wanted, MoodTrend())))
        return answer({name: _told(trend) for name, trend in await rows_of(moods)})
    except UnavailableError as error:
        return refusal(HTTPStatus.SERVICE_UNAVAILABLE, error.message)


def _told(trend: MoodTrend) -> dict[str, Any]:
    return {"per_day": round(trend.slope, 4), "hours": trend.hours, "alerts": trend.alerts}


# -- the page, made here: what comes from records is escaped ---------------------------------------------


def _product(name: str, trend: MoodTrend) -> str:
    last = trend.hours[-1]
    reviews_seen = sum(hour.reviews for hour in trend.hours)
    figures = (
        f"<p>{reviews_seen:,} {_noun(name)} in {len(trend.hours)} hours; the last hour sounds like "
        f"<strong>{last.mean:+.2f}</strong>, the trend is {trend.slope:+.2f} a day</p>"
    )
    aspects = ", ".join(f"{escape(aspect)} {score:+.2f} ({count})" for aspect, (count, score) in last.aspects.items())
    alerts = "".join(f"<li>{_alert(alert)}</li>" for alert in trend.alerts)
    return (
        f"<section><h2>{escape(name)}</h2>{figures}{_chart(name, trend.hours)}"
        f'<p class="soft">Aspects in the last hour: {aspects or "none"}</p>'
        + (f'<ul class="alerts">{alerts}</ul>' if alerts else "")
        + "</section>"
    )


def _alert(alert: MoodAlert) -> str:
    because = f", {escape(alert.worst)} most of all" if alert.worst else ""
    return (
        f'<span class="rule">drop</span> at {_when(alert.ts)}: {alert.now:+.2f} in '
        f"{alert.reviews} {_noun(alert.product)}, after {alert.before:+.2f} before{because} (z = {alert.z:.1f})"
    )


def _noun(name: str) -> str:
    return "messages" if name == CHAT else "reviews"


def _chart(name: str, hours: list[MoodHour]) -> str:
    """Return a bar an hour, up where it sounds good and down where not."""
    bars = ""
    for index, hour in enumerate(hours):
        tall = abs(hour.mean) * HALF_HEIGHT
        top = HALF_HEIGHT - tall if hour.mean > 0 else HALF_HEIGHT
        kind = "bar" if hour.mean > 0 else "bar many"
        title = f"{_when(hour.start)}: {hour.mean:+.2f} in {hour.reviews} {_noun(name)}"
        bars += (
            f'<rect class="{kind}" x="{index * BAR_WIDTH}" y="{top:.1f}" width="{BAR_WIDTH - 2}" '
            f'height="{max(tall, 0.5):.1f}"><title>{title}</title></rect>'
        )
    width = max(len(hours), 24) * BAR_WIDTH
    return (
        f'<svg viewBox="0 0 {width} {2 * HALF_HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="mean score of {len(hours)} hours">{bars}</svg>'
    )


def _when(ts: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(ts))
