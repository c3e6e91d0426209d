"""Every address of the bank's worker: whether it changes anything, and what becomes of that without a token."""

from __future__ import annotations

import re
from typing import Any

from app import app
from pelton.shell.pausing import serve_agents
from pelton.shell.probes import serve_probes
from pelton.shell.serving import serve_tables
from pelton.testing import Driver

#: What the web view could change: refused without a token.
REFUSED = {
    "/api/topics/{name}/records",
    "/api/dlq/replay",
    "/api/dlq/discard",
    "/agents/{name}/pause",
    "/agents/{name}/resume",
}
#: What is posted, and changes nothing: a session is the browser's own, and rows are only read.
READS = {"/sign-in", "/sign-out", "/api/rows"}
#: The bank's own ways in, which are its business: it asks nobody who they are, and listens to its own machine only.
OF_THE_BANK = {
    "/accounts/{account}/{command}",
    "/accounts/{account}/events",  # posted to, these two are commands that there are none of
    "/accounts/{account}/statement",
    "/api/anomalies/feedback",
    "/api/chat/person",
    "/api/models",
    "/chat",
    "/chat/consent",
    "/chat/rating",
    "/orders",
    "/orders/{order}/cancel",
    "/reviews",
    "/transactions",
}
METHODS = ("POST", "PUT", "PATCH", "DELETE")


def taken(driver: Driver) -> dict[str, dict[str, int]]:
    """Return address -> method -> status, of the methods that are not for reading and are not refused by an address."""
    found: dict[str, dict[str, int]] = {}
    web: Any = app.web
    for path in {resource.canonical for resource in web.web_app.router.resources()}:
        for method in METHODS:
            answer = driver.request(method, re.sub(r"{.*?}", "x", path))
            if answer.status != 405:
                found.setdefault(path, {})[method] = answer.status
    return found


def test_whatever_changes_something_is_known_and_the_web_view_changes_nothing_without_a_token() -> None:
    for serve in (serve_probes, serve_agents, serve_tables):  # as a worker does when it starts
        serve(app)
    with Driver(app) as driver:
        driver.request("GET", "/")
        found = taken(driver)
    assert set(found) == REFUSED | READS | OF_THE_BANK
    for path in REFUSED:
        assert found[path] == {"POST": 403}, path
    for path in READS | OF_THE_BANK:
        assert 403 not in found[path].values(), path
