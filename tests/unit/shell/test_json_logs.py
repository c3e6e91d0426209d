"""Log lines as JSON: what they hold of the event that is being handled, and of an error."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

import pelton
from pelton.shell.json_logs import JsonFormatter
from pelton.testing import Driver

logger = logging.getLogger("orders")


class Lines(logging.Handler):
    """Keeps what a handler would write, as it would write it: in the code that logs."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter())
        self.found: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(json.loads(self.format(record)))


@pytest.fixture
def lines() -> Iterator[Lines]:
    handler = Lines()
    root = logging.getLogger()
    root.addHandler(handler)
    before, root.level = root.level, logging.INFO
    yield handler
    root.level = before
    root.removeHandler(handler)


def test_what_an_agent_logs_tells_its_event_and_so_does_its_failure(lines: Lines) -> None:
    app = pelton.App("logged", agent_retries_max=0)
    orders = app.topic("orders", value_type=str, partitions=1)

    @app.agent(orders, name="charge")
    async def charge(stream: pelton.Stream[str]) -> None:
        async for order in stream:
            logger.info("got %s", order, extra={"amount": 3})
            if order == "bad":
                raise ValueError("no such order")

    with Driver(app) as driver:
        for order in ("good", "bad"):
            driver.send(orders, value=order)
    first, second = (line for line in lines.found if line["logger"] == "orders")
    assert (first["message"], first["level"], first["amount"]) == ("got good", "INFO", 3)
    place = {"agent": "charge", "topic": "orders", "partition": 0, "task": "charge[0].0"}
    assert first.items() >= (place | {"offset": 0}).items()
    assert second.items() >= (place | {"offset": 1}).items()
    (failure,) = [line for line in lines.found if "failed at" in line["message"]]
    assert failure.items() >= (place | {"offset": 1, "level": "WARNING"}).items()
    assert failure["error"] == "ValueError('no such order')"
    assert 'raise ValueError("no such order")' in failure["traceback"]


def test_outside_of_everything_there_is_just_the_line(lines: Lines) -> None:
    logger.warning("a line\nof two, with %r", object, extra={"strange": {1, 2}})
    (line,) = lines.found
    assert line["message"] == "a line\nof two, with <class 'object'>"
    assert line["task"] is None
    assert line["strange"] == "{1, 2}"
    assert "topic" not in line
    assert line["time"].endswith("+00:00")
