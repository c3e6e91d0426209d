"""The pages under `/api/`: the tables of the application, whichever worker is asked."""

# pyright: basic
# Faust is only partly typed; mypy checks this module strictly all the same.
from __future__ import annotations

import logging
from collections.abc import Awaitable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec
from aiohttp import web
from faust.web import View

import pelton
from pelton.errors import PeltonError
from pelton.web.api import File, Reply, TableApi, as_json, refusal
from pelton.web.wire import ROWS_PATH, decode_request

if TYPE_CHECKING:
    from pelton.shell.app import App

__all__ = ["serve_tables", "table_api"]

logger = logging.getLogger(__name__)


def table_api(app: App) -> TableApi:
    """Return what answers for the application's tables."""
    return TableApi(app.table_handles, lambda: app.queries, lambda: app.log_connection, app.clock, pelton.__version__)


def serve_tables(app: App) -> None:
    """Have the worker's web server answer for the tables; see `pelton.web.api`."""
    api = table_api(app)

    async def tables(view: Any, request: Any) -> Any:
        return await _response(api.list())

    async def described(view: Any, request: Any) -> Any:
        return await _response(api.openapi())

    async def scan(view: Any, request: Any, name: str) -> Any:
        return await _response(api.scan(name, request.query))

    async def key(view: Any, request: Any, name: str, key: str) -> Any:
        return await _response(api.key(name, key, request.query))

    async def versions(view: Any, request: Any, name: str, key: str) -> Any:
        return await _response(api.versions(name, key, request.query))

    async def changelog(view: Any, request: Any, name: str, key: str) -> Any:
        return await _response(api.changelog(name, key, request.query))

    async def places(view: Any, request: Any, name: str, key: str) -> Any:
        return await _response(api.places(name, key, request.query))

    async def sizes(view: Any, request: Any) -> Any:
        return await _response(api.sizes(request.query))

    async def export(view: Any, request: Any, name: str) -> Any:
        return await _file(request, api.export(name, request.query))

    async def sql(view: Any, request: Any) -> Any:
        return await _file(request, api.sql(request.query))

    class Rows(View):
        """What other workers ask."""

        async def post(self, request: Any) -> Any:
            try:
                wanted = decode_request(await request.read())
            except msgspec.MsgspecError as error:
                return web.json_response({"error": f"not a request of a worker: {error}", "hint": None}, status=400)
            return web.Response(body=msgspec.msgpack.encode(app.rows_here(wanted)), content_type="application/msgpack")

    app.page("/api/openapi.json", name="api:document")(described)
    app.page("/api/tables", name="api:tables")(tables)
    # A name, or a key, may be anything: aiohttp leaves braces out unless it is told.
    app.page("/api/tables/{name:[^/]+}", name="api:scan")(scan)
    app.page("/api/tables/{name:[^/]+}/{key:[^/]+}", name="api:key")(key)
    app.page("/api/tables/{name:[^/]+}/{key:[^/]+}/versions", name="api:versions")(versions)
    app.page("/api/tables/{name:[^/]+}/{key:[^/]+}/changelog", name="api:changelog")(changelog)
    app.page("/api/tables/{name:[^/]+}/{key:[^/]+}/places", name="api:places")(places)
    app.page("/api/sizes", name="api:sizes")(sizes)
    app.page("/api/exports/{name:[^/]+}", name="api:export")(export)
    app.page("/api/sql", name="api:sql")(sql)
    app.page(ROWS_PATH, name="api:rows")(Rows)


async def _response(answering: Awaitable[Reply]) -> web.Response:
    try:
        return _as_response(await answering)
    except PeltonError as error:
        return _as_response(refusal(error))


def _as_response(reply: Reply) -> web.Response:
    headers = {"Cache-Control": "no-store", **reply.headers}
    return web.Response(
        body=as_json(reply.document), status=int(reply.status), content_type="application/json", headers=headers
    )


async def _file(request: web.Request, answering: Awaitable[Reply | File]) -> web.StreamResponse:
    """Send a file piece by piece, as fast as it is taken. One that cannot be ended is broken off."""
    try:
        file = await answering
    except PeltonError as error:
        return _as_response(refusal(error))
    if isinstance(file, Reply):
        return _as_response(file)
    async with aclosing(file.content.rest) as rest:
        response = web.StreamResponse(headers=_file_headers(file))
        await response.prepare(request)
        try:
            await response.write(file.content.first)
            async for piece in rest:
                await response.write(piece)
        except PeltonError as error:
            logger.warning("%s was broken off: %s", request.path, error)
            if request.transport is not None:
                request.transport.abort()
            return response
        await response.write_eof()
        return response


def _file_headers(file: File) -> dict[str, str]:
    name = quote(file.name, safe="")
    return {
        "Content-Type": file.content_type,
        "Content-Disposition": f"attachment; filename*=UTF-8''{name}",
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }
