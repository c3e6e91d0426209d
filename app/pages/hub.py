"""`GET /hub`: what comes in and goes out through connectors, and the terminals that decline most."""

from __future__ import annotations

from heapq import nlargest
from http import HTTPStatus

from app.bank import app, hub_directory
from app.everywhere import rows_of
from app.models.terminal import TerminalState
from app.pages.answers import answer, refusal
from app.tables.terminals import terminals
from pelton import Request, Response, UnavailableError, View

__all__ = ["hub"]

TERMINALS_SHOWN = 20


@app.page("/hub", name="hub")
async def hub(self: View, request: Request) -> Response:
    """Answer with connectors, files, and terminals by how often they declined; 503 when not all can be told."""
    try:
        worst = nlargest(TERMINALS_SHOWN, (state for _, state in await rows_of(terminals)), key=_declined)
    except UnavailableError as error:
        return refusal(HTTPStatus.SERVICE_UNAVAILABLE, error.message)
    return answer(
        {
            "sources": {name: repr(one.source) for name, one in app.sources.items()},
            "sinks": {name: repr(one.sink) for name, one in app.sinks.items()},
            "files": len(list((hub_directory / "warehouse").glob("*.parquet"))),
            "terminals": worst,
        }
    )


def _declined(state: TerminalState) -> tuple[int, int]:
    return state.declined, state.tried
