"""Tables and SQL: which tables there are, what is in them and was, one key with all that is known of it, statements.

The pages are frames; their scripts ask `/api/tables` and its neighbours (`pelton.web.api`), as any program may, so what
is right there is right here: an answer is complete, or says what is missing.
"""

from __future__ import annotations

from aiohttp import web

from pelton.console.frame import rendered

__all__ = ["key_page", "page", "sql_page", "table_page"]


async def page(request: web.Request) -> web.Response:
    """Answer with the list of tables."""
    return rendered(request, "tables.html", title="Tables", scripts=["/static/console/tables.js"])


async def table_page(request: web.Request) -> web.Response:
    """Answer with the page on which a table's rows are looked through."""
    name = request.match_info["name"]
    return rendered(request, "table.html", title=name, current="/tables", scripts=["/static/console/table.js"])


async def key_page(request: web.Request) -> web.Response:
    """Answer with the page of one key."""
    name, key = request.match_info["name"], request.match_info["key"]
    return rendered(
        request, "key.html", title=key, current="/tables", scripts=["/static/console/key.js"], name=name, key=key
    )


async def sql_page(request: web.Request) -> web.Response:
    """Answer with the page on which statements are run."""
    return rendered(request, "sql.html", title="SQL", scripts=["/static/console/sql.js"])
