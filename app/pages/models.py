"""`GET /models`: which versions of each model there are, who is asked, and how each does; `/api/models` as JSON.

`POST /api/models`: an order, as JSON, such as {"type": "Promote", "name": "sentiment", "version": "v2",
"stage": "canary", "share": 0.1, "ts": 1767571200}.
"""

from __future__ import annotations

from html import escape
from http import HTTPStatus
from typing import Any

import msgspec

from app.agents.deployment import register
from app.bank import app
from app.deployment.view import models_view
from app.models import ModelOrder, Outcome
from app.pages.answers import answer, refusal
from app.pages.navigation import made
from pelton import Request, Response, UnavailableError, View

__all__ = ["ModelVersions", "model_page"]

OUTCOMES_SHOWN = 8
ANSWER_S = 60
BAR_WIDTH, HEIGHT = 10, 60

_decode = msgspec.json.Decoder(ModelOrder).decode


@app.page("/models", name="models-page")
async def model_page(self: View, request: Request) -> Response:
    """Answer with the page; 503 at the start."""
    try:
        shown = "".join(_model(name, told) for name, told in (await models_view()).items())
    except UnavailableError as error:
        return refusal(HTTPStatus.SERVICE_UNAVAILABLE, error.message)
    return made(request, "Models", shown or "<p>No model was published yet.</p>")


@app.page("/api/models")
class ModelVersions(View):
    """All models, and the way in for orders."""

    async def get(self, request: Request, **_: Any) -> Response:
        """Answer with all models; 503 at the start."""
        try:
            return answer(await models_view())
        except UnavailableError as error:
            return refusal(HTTPStatus.SERVICE_UNAVAILABLE, error.message)

    async def post(self, request: Request, **_: Any) -> Response:
        """Answer with what became of an order; 409 when it was refused, 400 for what is none, 503 for no answer."""
        try:
            order = _decode(await request.read())
            outcome = await register.ask(order, key=order.name, answer_type=Outcome, timeout=ANSWER_S)
        except (msgspec.DecodeError, RecursionError) as error:
            return refusal(HTTPStatus.BAD_REQUEST, str(error) or "nested too deeply")
        except (UnavailableError, TimeoutError) as error:
            return refusal(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
        return answer(outcome, HTTPStatus.OK if outcome.done else HTTPStatus.CONFLICT)


# -- the page, made here: what comes from records is escaped ---------------------------------------------


def _model(name: str, told: dict[str, Any]) -> str:
    rows = "".join(_version(one, told["canary_share"]) for one in told["versions"])
    outcomes = "".join(f"<li>{_outcome(one)}</li>" for one in told["outcomes"][:OUTCOMES_SHOWN])
    return (
        f'<section><h2>{escape(name)}</h2><div class="scroll"><table><thead><tr><th>version</th><th>stage</th>'
        '<th class="right">predictions</th><th class="right">accuracy, live</th><th class="right">when made</th>'
        "<th>hour by hour</th></tr></thead>"
        f'<tbody>{rows}</tbody></table></div><ul class="alerts">{outcomes}</ul></section>'
    )


def _version(one: dict[str, Any], share: float) -> str:
    quality, made_with = one["quality"], one["metrics"].get("accuracy")
    stage = f"canary, {share:.0%}" if one["stage"] == "canary" else one["stage"]
    why = f' <span class="soft">{escape(one["why"])}</span>' if one["why"] else ""
    return (
        f"<tr><td>{escape(one['version'])}</td>"
        f'<td><span class="{"rule" if one["stage"] == "refused" else ""}">{stage}</span>{why}</td>'
        f'<td class="right">{quality["predictions"]:,}</td><td class="right">{_share(quality["accuracy"])}</td>'
        f'<td class="right">{_share(made_with)}</td><td>{_chart(quality["hours"])}</td></tr>'
    )


def _outcome(outcome: Outcome) -> str:
    kind = "soft" if outcome.done else "rule"
    return f'{escape(outcome.version)}: <span class="{kind}">{escape(outcome.told)}</span>'


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _chart(hours: list[dict[str, Any]]) -> str:
    """Return a bar an hour: the share that was right."""
    judged = [hour for hour in hours if hour["judged"]]
    if not judged:
        return ""
    bars = ""
    for index, hour in enumerate(judged):
        tall = hour["right"] / hour["judged"] * HEIGHT
        bars += (
            f'<rect class="bar" x="{index * BAR_WIDTH}" y="{HEIGHT - tall:.1f}" width="{BAR_WIDTH - 2}" '
            f'height="{max(tall, 0.5):.1f}"><title>{hour["right"]} of {hour["judged"]} right</title></rect>'
        )
    width = max(len(judged), 12) * BAR_WIDTH
    return (
        f'<svg viewBox="0 0 {width} {HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="accuracy of {len(judged)} hours">{bars}</svg>'
    )
