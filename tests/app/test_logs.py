"""The logs of services, driven: alerts, templates, rates and search, whatever dies in between."""

from __future__ import annotations

from itertools import islice
from typing import Any

import msgspec
import pytest

from app import app
from app.bank import log_alerts, logs, raw_logs
from app.models import LogAlert, LogLine, RawLine
from app.simulation.services import ServicesPlan, WrittenLine, lines_from
from app.tables import log_minutes, log_services, templates
from pelton.testing import Driver
from tests.app.test_logformats import DATA

START = 1_767_614_400.0
#: Twenty-one minutes, with two outages, two silences, and one message that is new.
LINES = list(islice(lines_from(ServicesPlan(7, 4, START)), 21 * 60 * 4))


def send(driver: Driver, lines: list[WrittenLine], **options: Any) -> None:
    driver.send_many(raw_logs, [(line.source, RawLine(line.text), line.ts) for line in lines], **options)


def outcome(driver: Driver) -> dict[str, Any]:
    """Return everything that came of the lines, in an order of its own."""
    assert not driver.dead_letters()
    return {
        "alerts": sorted(msgspec.json.encode(record.value) for record in driver.read(log_alerts, again=True)),
        "services": dict(log_services.items()),
        "templates": dict(templates.items()),
        "minutes": list(log_minutes.between()),
        "lines": len(driver.read(logs, again=True)),
    }


@pytest.fixture(scope="module")
def undisturbed() -> dict[str, Any]:
    with Driver(app) as driver:
        send(driver, LINES)
        return outcome(driver)


def alerts_of(found: dict[str, Any], kind: str) -> list[LogAlert]:
    alerts = [msgspec.json.decode(alert, type=LogAlert) for alert in found["alerts"]]
    return sorted((alert for alert in alerts if alert.kind == kind), key=lambda alert: alert.ts)


def test_incidents_raise_alerts(undisturbed: dict[str, Any]) -> None:
    bursts = [alert for alert in alerts_of(undisturbed, "burst") if alert.level == "error"]
    assert {alert.service for alert in bursts} == {"payments"}
    assert START + 840 <= bursts[-1].ts < START + 900
    assert "could not reach the database" in bursts[-1].text

    silences = alerts_of(undisturbed, "silence")
    assert [alert.service for alert in silences] == ["notifications", "notifications"]
    assert [360 - 20 < alert.ts - START - 600 * n <= 360 for n, alert in enumerate(silences)] == [True, True]

    (new,) = [alert for alert in alerts_of(undisturbed, "new_template") if alert.service == "ledger"]
    assert new.text.startswith("ledger version <*> deprecates account class")
    assert not undisturbed["services"]["notifications"].silent, "it is back"


def test_rates_are_those_of_the_lines(undisturbed: dict[str, Any]) -> None:
    services = undisturbed["services"]
    assert sum(service.lines for service in services.values()) == undisturbed["lines"] == len(LINES)
    by_service: dict[str, list[int]] = {}
    for key, start_ms, minute in undisturbed["minutes"]:
        if "/" not in key:
            by_service.setdefault(key, []).append(minute.lines)
            of_templates = [m for k, s, m in undisturbed["minutes"] if s == start_ms and k.startswith(f"{key}/")]
            assert minute.lines == sum(one.lines for one in of_templates)
            assert minute.errors == sum(one.errors for one in of_templates)
    assert {name: sum(lines) for name, lines in by_service.items()} == {n: s.lines for n, s in services.items()}
    assert all(service.templates <= 12 for service in services.values())


def test_a_crash_changes_nothing(undisturbed: dict[str, Any]) -> None:
    with Driver(app) as driver:
        for number, begin in enumerate(range(0, len(LINES), 700)):
            send(driver, LINES[begin : begin + 700], settle=number % 2 == 0)
            driver.crash(after=3 * number)
            if number == 4:
                driver.lose_disk()
            driver.start()
        found = outcome(driver)
    assert found.pop("alerts") == undisturbed["alerts"]
    assert found == {name: value for name, value in undisturbed.items() if name != "alerts"}


def test_a_partition_that_falls_silent_is_told_by_the_clock() -> None:
    with Driver(app, start=START) as driver:
        driver.send(raw_logs, "alone", RawLine("hello"), ts=START)
        driver.advance(119)
        assert driver.read(log_alerts) == []
        driver.advance(2)
        assert [record.value.id for record in driver.read(log_alerts)] == [f"silence:alone:{START:.3f}"]
        driver.advance(1_000)
        driver.send(raw_logs, "alone", RawLine("again"), ts=START + 1_100)
        assert driver.read(log_alerts) == [], "once"
        assert not log_services["alone"].silent


def test_search() -> None:
    with Driver(app) as driver:
        send(driver, LINES[:2_400])

        def found(query: str) -> list[LogLine]:
            answer = driver.request("GET", f"/logs?{query}")
            assert answer.status == 200, answer.body
            return msgspec.convert(answer.json()["lines"], list[LogLine])

        newest = found("limit=10")
        assert [line.ts for line in newest] == sorted((line.ts for line in newest), reverse=True)
        assert [int(line.ts) for line in newest] == [int(line.ts) for line in reversed(LINES[2_390:2_400])]
        errors = found("service=payments&level=error&q=DATABASE&limit=1000")
        assert errors
        assert all("could not reach the database" in line.message for line in errors)
        assert len(errors) == sum("could not reach" in line.text for line in LINES[:2_400])
        third = found("from=2026-01-05T12:02&to=2026-01-05T12:03:00Z&limit=1000")
        assert len(third) == 240
        assert found(f"from={START + 120}&to={START + 180}&limit=1000") == third
        assert found("q=10.1.&service=auth"), "fields are searched too"
        assert found("service=nobody") == []
        assert not driver.request("GET", "/logs?limit=1").json()["complete"]
        for query, field in (("level=loud", "level"), ("from=noon", "from"), ("limit=0", "limit"), ("to=-1", "to")):
            answer = driver.request("GET", f"/logs?{query}")
            assert (answer.status, answer.json()["field"]) == (400, field)


def test_pages() -> None:
    with Driver(app) as driver:
        driver.send(raw_logs, "<script>", RawLine("<img src=x>"), ts=START)
        send(driver, LINES[:2_400])
        answer = driver.request("GET", "/logs/services").json()
        payments = next(one for one in answer["services"] if one["service"] == "payments")
        assert payments["minutes"][4]["error_rate"] > 0.3
        assert [alert["kind"] for alert in answer["alerts"]].count("silence") >= 1
        said = driver.request("GET", "/logs/templates?service=payments").json()["templates"]
        assert "could not reach the database after <*> attempts: connection refused" in [one["text"] for one in said]
        assert sum(minute["lines"] for minute in said[0]["minutes"]) == said[0]["lines"]
        page = driver.request("GET", "/logs/page")
        assert page.status == 200
        assert b"<h1>Logs" in page.body
        assert "script-src 'self'" in page.headers["Content-Security-Policy"]
        assert b"innerHTML" not in driver.request("GET", "/logs.js").body


def test_real_logs_go_in_as_they_are() -> None:
    with Driver(app, start=START) as driver:
        for name in ("dpkg.log", "apt-history.log", "apt-term.log", "kafka.log", "worker.log"):
            text = (DATA / name).read_text()
            driver.send_many(raw_logs, [(name, RawLine(line), START) for line in text.splitlines()])
        assert not driver.dead_letters()
        assert set(log_services.keys()) == {"dpkg.log", "apt-history.log", "apt-term.log", "kafka.log", "worker.log"}
