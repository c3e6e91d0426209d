"""The bank in one process, driven: payments go in, alerts and pages come out, whatever dies in between."""

from __future__ import annotations

from itertools import islice

import msgspec

from app import app
from app.agents import latest_alerts
from app.bank import alerts, transactions
from app.models import Alert, Transaction
from app.oracle import replay
from app.simulation import Plan, transactions_from
from app.tables import profiles
from pelton.testing import Driver
from tests.app.payments import payment

NDJSON = {"Content-Type": "application/x-ndjson"}


def payments_by_partition(driver: Driver) -> list[list[Transaction]]:
    found: dict[int, list[Transaction]] = {}
    for record in driver.read(transactions, again=True):
        found.setdefault(record.partition, []).append(record.value)
    return [found[number] for number in sorted(found)]


def test_alerts_and_profiles_equal_the_oracle_over_crashes_and_a_lost_disk() -> None:
    payments = [labelled.transaction for labelled in islice(transactions_from(Plan(seed=7, accounts=100)), 3_000)]
    with Driver(app) as driver:
        for number, start in enumerate(range(0, len(payments), 500)):
            driver.send_many(
                transactions, [(tx.account, tx) for tx in payments[start : start + 500]], settle=number % 2 == 0
            )
            driver.crash(after=7 * number)
            if number == 3:
                driver.lose_disk()
            driver.start()
        expected = replay(payments_by_partition(driver))
        assert len(expected.alerts) > 3
        got = driver.read(alerts)
        assert sorted(msgspec.json.encode(one.value) for one in got) == sorted(
            map(msgspec.json.encode, expected.alerts)
        )
        assert {key: msgspec.to_builtins(value) for key, value in profiles.items()} == expected.profiles


def test_ways_in_and_out() -> None:
    spree = [payment(id=f"t{number}", ts=1_767_571_200.0 + number) for number in range(6)]
    lines = b"\n".join(msgspec.json.encode(tx) for tx in spree)
    with Driver(app) as driver:
        taken = driver.request("POST", "/transactions", body=lines, headers=NDJSON)
        assert (taken.status, taken.json()) == (202, {"accepted": 6, "ids": ["t0", "t1", "t2", "t3", "t4", "t5"]})

        (alert,) = driver.request("GET", "/alerts?account=acc-1&limit=5").json()["alerts"]
        assert (alert["id"], alert["evidence"]["total"]) == ("velocity:t4", 100.0)

        account = driver.request("GET", "/api/account?id=acc-1").json()
        assert (account["payments"], account["countries"]) == (6, ["DE"])
        assert account["windows"] == [{"start": 1_767_571_200.0, "count": 6, "total": 120.0}]
        assert driver.request("GET", "/api/account?id=nobody").json()["payments"] == 0

        latest_alerts.clear()  # another worker saw it, and this one something else
        latest_alerts.append(msgspec.convert({**alert, "id": "seen here"}, Alert))
        for path in ("/alerts", "/api/overview"):
            assert [one["id"] for one in driver.request("GET", path).json()["alerts"]] == ["velocity:t4"], path
        latest_alerts.clear()
        overview = driver.request("GET", "/api/overview").json()
        assert overview["committed_records"] == overview["records_in"] >= 7


def test_refusals() -> None:
    with Driver(app) as driver:

        def refused(body: bytes, **headers: str) -> tuple[int, dict[str, object]]:
            answer = driver.request("POST", "/transactions", body=body, headers=headers)
            return answer.status, answer.json()

        status, answer = refused(msgspec.json.encode(payment()).replace(b"20.0", b"-1"))
        assert (status, answer["field"]) == (400, "amount")
        status, answer = refused(b"{}\n", **{"Content-Type": "application/x-ndjson; charset=utf-8"})
        assert (status, answer["field"], answer["line"]) == (400, "id", 1)
        status, answer = refused(b" " * (1024 * 1024 + 1))
        assert (status, answer["bytes_max"]) == (413, 1024 * 1024)
        for limit in ("0", "101", "many", "-1", "%D9%A3"):
            assert driver.request("GET", f"/alerts?limit={limit}").status == 400
        assert driver.request("GET", "/alerts?account=acc-1").json()["alerts"] == []
