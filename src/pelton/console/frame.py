"""The page around every page: head, links, and the line that says whether what is shown is current.

Markup is made by Jinja with autoescape on, so whatever a record holds comes out as text. A page of the console extends
`templates/base.html` and is made with `rendered`; an application makes its own pages with `pelton.web_page`.
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from pelton.console.answers import page_answer
from pelton.console.sessions import SESSION
from pelton.console.surroundings import CONSOLE, LINKS, Console, Link
from pelton.window import iso_time

__all__ = ["markup", "rendered", "web_page"]


def _moment(time_ms: int) -> str:
    """Return a time, in milliseconds since the epoch, to the second, in UTC."""
    return iso_time(time_ms)[:19].replace("T", " ")


_ENVIRONMENT = Environment(
    loader=PackageLoader("pelton.console"),
    autoescape=select_autoescape(default=True),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters["moment"] = _moment


def web_page(
    request: Any,
    title: str,
    body: Markup | str,
    *,
    current: str | None = None,
    scripts: Sequence[str] = (),
    styles: Sequence[str] = (),
    status: int = HTTPStatus.OK,
) -> Any:
    """Return an application's page, framed like all others.

    request: what is answered. body: the content; `markupsafe.Markup` stands as it is, text is escaped.
    current: the address among the links that the page belongs to; that of the request when None.
    scripts: addresses of ES modules. styles: addresses of style sheets. Both of this server: the policy allows no
    other, and nothing inline.
    """
    return rendered(
        request,
        "page.html",
        title=title,
        current=current,
        scripts=scripts,
        styles=styles,
        status=status,
        body=body,
    )


def markup(template: str, **values: Any) -> Markup:
    """Return a part of a page, made of a template that does not extend the frame."""
    return Markup(_ENVIRONMENT.get_template(template).render(**values))  # noqa: S704 - made with autoescape


def rendered(
    request: web.Request,
    template: str,
    *,
    title: str,
    current: str | None = None,
    scripts: Sequence[str] = (),
    styles: Sequence[str] = (),
    status: int = HTTPStatus.OK,
    **values: Any,
) -> web.Response:
    """Return a page made of a template, which extends base.html. values: what the template names beyond the frame's."""
    console = request.app[CONSOLE]
    session = request.get(SESSION)
    html = _ENVIRONMENT.get_template(template).render(
        application=console.worker.app_id,
        title=title,
        current=request.path if current is None else current,
        links=_links(console),
        own_links=console.links,
        scripts=scripts,
        styles=styles,
        csrf=console.sessions.csrf(session) if console.sessions is not None and session else "",
        signed_in=bool(session),
        **values,
    )
    return page_answer(html, status)


def _links(console: Console) -> Sequence[Link]:
    """Return the console's own links; Home is at `/` unless the application has a page of its own there."""
    return [Link(console.home, LINKS[0].name), *LINKS[1:]]
