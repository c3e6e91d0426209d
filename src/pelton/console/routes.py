"""All addresses of the console: one list, which the shell mounts behind the application's own pages.

What the application has at one of these addresses stays its own: its pages are there first.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable

from aiohttp import web

from pelton.console import home, letters, signing, tables, topics, topology
from pelton.console.files import STATIC_PATH, static_file
from pelton.console.gathering import GATHERING, Gathering
from pelton.console.report import REPORT_PATH
from pelton.console.surroundings import Console

__all__ = ["ROUTES", "mount"]

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: Method, path, handler.
ROUTES: tuple[tuple[str, str, _Handler], ...] = (
    ("GET", STATIC_PATH + "{name}", static_file),
    ("GET", signing.SIGN_IN_PATH, signing.sign_in_page),
    ("POST", signing.SIGN_IN_PATH, signing.sign_in),
    ("POST", "/sign-out", signing.sign_out),
    # Home, and what it lives on
    ("GET", "/", home.page),
    ("GET", "/console", home.page),
    ("GET", REPORT_PATH, home.own),
    ("GET", "/api/console/home", home.state),
    ("GET", "/api/console/live/home", home.live),
    # Topology
    ("GET", "/topology", topology.page),
    ("GET", "/api/console/topology", topology.state),
    ("GET", "/api/console/live/topology", topology.live),
    # Tables and SQL
    ("GET", "/tables", tables.page),
    ("GET", "/tables/{name:[^/]+}", tables.table_page),
    ("GET", "/tables/{name:[^/]+}/{key:[^/]+}", tables.key_page),
    ("GET", "/sql", tables.sql_page),
    # Topics and dead letters
    ("GET", "/topics", topics.page),
    ("GET", "/topics/{name}", topics.topic_page),
    ("GET", "/topics/{name}/{partition}/{offset}", topics.record_page),
    ("GET", "/api/topics", topics.api_list),
    ("GET", "/api/topics/{name}", topics.api_topic),
    ("GET", "/api/topics/{name}/records", topics.api_records),
    ("POST", "/api/topics/{name}/records", topics.api_write),
    ("GET", "/api/topics/{name}/tail", topics.api_tail),
    ("GET", "/api/topics/{name}/{partition}/{offset}", topics.api_record),
    ("GET", "/api/topics/{name}/{partition}/{offset}/value", topics.api_value),
    ("GET", "/dlq", letters.page),
    ("GET", "/dlq/{number}", letters.letter_page),
    ("GET", "/api/dlq", letters.api_summary),
    ("GET", "/api/dlq/letters", letters.api_list),
    ("GET", "/api/dlq/letters/{number}", letters.api_letter),
    ("POST", "/api/dlq/replay", letters.api_replay),
    ("POST", "/api/dlq/discard", letters.api_discard),
)


def mount(application: web.Application, console: Console) -> None:
    """Have a web application answer at the console's addresses as well."""
    if any(resource.canonical == "/" for resource in application.router.resources()):
        console.home = "/console"
    for method, path, handler in ROUTES:
        application.router.add_route(method, path, handler)

    application[GATHERING] = Gathering(console)
    application.cleanup_ctx.append(lambda _: _watching(console))

    async def stop(_: web.Application) -> None:
        console.stopping.set()

    async def close(_: web.Application) -> None:
        await console.worker.close()

    application.on_shutdown.append(stop)
    application.on_cleanup.append(close)


async def _watching(console: Console) -> AsyncIterator[None]:
    """Look at the worker, and keep what it logs, for as long as the web server runs."""
    root = logging.getLogger()
    root.addHandler(console.errors)
    console.history.start()
    yield
    await console.history.stop()
    root.removeHandler(console.errors)
