"""Analytics, cases and judgement, driven, against plain Python and over crashes; and once on each log, as a process."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from statistics import quantiles
from urllib.parse import urlencode

import pytest

from app import app
from app.analytics import quality_views, traffic_view
from app.bank import alerts, cases, transactions
from app.evaluation import quality_by_rule
from app.models import Alert, VelocityEvidence
from app.models.case import CASE_KEPT_S, CASES_MAX, AccountCases
from app.models.quality import Judged, RuleQuality
from app.models.traffic import Traffic, quantile, whole
from app.simulation import Labelled, Plan, transactions_from
from app.tables.traffic import MINUTES_KEPT, TENS_KEPT, minute_traffic, ten_minute_traffic
from pelton.testing import Driver
from tests.app.payments import payment

#: Two and a half days of 150 customers.
PAYMENTS = list(islice(transactions_from(Plan(seed=7, accounts=150)), 2_200))


def send(driver: Driver, payments: list[Labelled]) -> None:
    for labelled in payments:
        headers = {"fraud": labelled.label.encode()} if labelled.label else None
        driver.send(transactions, labelled.transaction.account, labelled.transaction, headers=headers, settle=False)
    driver.settle()


def test_the_page_tells_what_plain_python_counts_over_crashes() -> None:
    with Driver(app) as driver:
        for number, start in enumerate(range(0, len(PAYMENTS), 550)):
            send(driver, PAYMENTS[start : start + 550])
            driver.crash(after=5 * number)
            driver.start()
        found = driver.request("GET", "/api/analytics").json()
        traffic, end = found["traffic"], int(max(one.transaction.ts for one in PAYMENTS) // 60) + 1

        def hour(back: int, end: int = end) -> list[Labelled]:
            return [one for one in PAYMENTS if end - back - 60 <= one.transaction.ts // 60 < end - back]

        now = [one.transaction for one in hour(0)]
        spent = [round(tx.amount * 100) for tx in now]
        assert (traffic["count"], traffic["cents"], traffic["to"]) == (len(now), sum(spent), end * 60)
        tens = end - end % 10
        for name, one, other in (
            ("against_hour_before", hour(0), hour(60)),
            ("against_yesterday", hour(0, tens), hour(24 * 60, tens)),
        ):
            value, then = (sum(round(each.transaction.amount * 100) for each in part) for part in (one, other))
            assert traffic[name] == round(value / then - 1, 4)
        assert traffic["customers"] == pytest.approx(len({tx.account for tx in now}), rel=0.05, abs=1)
        for dimension in ("merchant", "country", "channel"):
            sums: Counter[str] = Counter()
            for tx in now:
                sums[getattr(tx, dimension)] += round(tx.amount * 100)
            greatest = sorted(sums.items(), key=lambda one: (one[1], one[0]), reverse=True)[:10]
            assert [(one["name"], one["cents"]) for one in traffic["top"][dimension]] == greatest
        per_minute = Counter(int(tx.ts // 60) * 60 for tx in now)
        assert {one["minute"]: one["count"] for one in traffic["minutes"] if one["count"]} == per_minute

        for dimension in ("merchant", "country", "channel"):
            name = traffic["top"][dimension][-1]["name"]
            of_one = driver.request("GET", f"/api/analytics?{urlencode({dimension: name})}").json()["traffic"]
            theirs = [tx for tx in now if getattr(tx, dimension) == name]
            counted, cents = Counter[int](), Counter[int]()
            for tx in theirs:
                counted[int(tx.ts // 60) * 60] += 1
                cents[int(tx.ts // 60) * 60] += round(tx.amount * 100)
            assert {one["minute"]: one["count"] for one in of_one["minutes"] if one["count"]} == counted
            assert {one["minute"]: one["cents"] for one in of_one["minutes"] if one["cents"]} == cents
            assert of_one["minutes_of"] == {"dimension": dimension, "name": name}
            assert of_one | {"minutes": [], "minutes_of": 0} == traffic | {"minutes": [], "minutes_of": 0}
        nobody = driver.request("GET", "/api/analytics?merchant=nobody").json()["traffic"]["minutes"]
        assert (len(nobody), sum(one["count"] for one in nobody)) == (60, 0)
        assert driver.request("GET", "/api/analytics?merchant=a&country=DE").status == 400

        raised = [record.value for record in driver.read(alerts, again=True)]
        labels = {one.transaction.id: one.label for one in PAYMENTS if one.label}
        expected = quality_by_rule(raised, labels)
        assert sum(one.right for one in expected) > 3
        assert [(one["alerts"], one["right"], one["crimes"], one["found"]) for one in found["quality"]] == [
            one[1:] for one in expected
        ]
        assert found["quality"] == driver.run(quality_views())
        told = {one["account"] for one in found["cases"]}
        assert told <= {alert.account for alert in raised}


def test_old_minutes_are_forgotten_and_batches_make_no_difference() -> None:
    two_days = [payment(id=f"t{n}", account="ann", ts=n * 600.0, amount=n % 7 + 0.5) for n in range(300)]
    with Driver(app) as driver:
        driver.send_many(transactions, [("ann", tx) for tx in two_days])
        kept, tens = dict(minute_traffic.items()), dict(ten_minute_traffic.items())
        last = int(two_days[-1].ts // 60)
        assert last - MINUTES_KEPT - 10 <= min(kept) <= last - MINUTES_KEPT + 10
        assert last - TENS_KEPT - 100 <= min(tens) <= last - TENS_KEPT + 100
        assert driver.run(traffic_view())["count"] == 6
    with Driver(app) as driver:
        for tx in two_days:
            driver.send(transactions, "ann", tx)
        assert dict(minute_traffic.items()) == kept
        assert dict(ten_minute_traffic.items()) == tens


def test_parts_of_a_minute_make_the_minute_and_percentiles_are_close() -> None:
    paid = [one.transaction for one in PAYMENTS]
    parts = [Traffic() for _ in range(4)]
    for number, part in enumerate(parts):
        part.add(paid[number::4])
    together, one = whole(parts), Traffic()
    one.add(paid)
    assert (together.total, together.by, together.amounts) == (one.total, one.by, one.amounts)
    assert one.distinct_customers == pytest.approx(len({tx.account for tx in paid}), rel=0.05)
    exact = quantiles((tx.amount for tx in paid), n=100)
    for share in (50, 90, 99):
        assert quantile(one.amounts, share / 100) == pytest.approx(exact[share - 1], rel=0.05)
    assert quantile({}, 0.5) is None


def raised(rule: str, number: int, ts: float, account: str = "ann") -> Alert:
    evidence = VelocityEvidence(count=5, total=1.0, merchants=[])
    return Alert(f"{rule}:t{number}", account, rule, f"t{number}", 1.5, ts, ts, ts, evidence)  # type: ignore[arg-type]


def test_alerts_become_cases_once_each() -> None:
    with Driver(app) as driver:
        first, again, other = raised("velocity", 1, 100), raised("velocity", 2, 160), raised("amount", 2, 160)
        later = raised("velocity", 3, 160 + 1_801)
        for alert in (first, again, again, other, first, later, raised("amount", 9, 100, "bob")):
            driver.send(alerts, alert.account, alert)
        told = [(case.id, dict(case.rules)) for case in (record.value for record in driver.read(cases))]
        assert told == [
            ("velocity:t1", {"velocity": 1}),
            ("velocity:t1", {"velocity": 2, "amount": 1}),
            ("velocity:t3", {"velocity": 1}),
            ("amount:t9", {"amount": 1}),
        ]
        shown = driver.request("GET", "/api/analytics").json()["cases"]
        assert [(one["id"], one["score"], one["payments"]) for one in shown] == [
            ("velocity:t3", 1.5, 1),
            ("velocity:t1", 3.0, 2),
            ("amount:t9", 1.5, 1),
        ]


def test_alerts_that_come_again_late_and_in_any_order_make_no_case_anew() -> None:
    alike = [raised("velocity", 1, 100), raised("velocity", 3, 160 + 1_801), raised("amount", 4, 9_000)]
    with Driver(app) as driver:
        for number in (2, 0, 1, 0, 2, 1, 1, 0):
            driver.send(alerts, "ann", alike[number])
        driver.restart()
        for alert in alike:
            driver.send(alerts, "ann", alert)
        told = [record.value.id for record in driver.read(cases)]
        assert told == ["amount:t4", "velocity:t1", "velocity:t3"]
        shown = driver.request("GET", "/api/analytics").json()["cases"]
        assert [one["id"] for one in shown] == ["amount:t4", "velocity:t3", "velocity:t1"]
        assert [one["rules"] for one in shown] == [{"amount": 1}, {"velocity": 1}, {"velocity": 1}]


def test_the_cases_of_an_account_are_bounded_and_what_is_forgotten_opens_none() -> None:
    known, opened = AccountCases(), 0
    sent = [raised("velocity", number, 10_000.0 * number) for number in range(3 * CASES_MAX)]
    for alert in sent:
        known, news = known.after(alert)
        opened += news is not None
    assert opened == len(sent)
    assert [case.id for case in known.cases] == [alert.id for alert in sent[-CASES_MAX:]]
    for alert in sent:
        assert known.after(alert) == (known, None)
    late = raised("amount", 99, sent[-1].ts - 5_000.0)
    after, news = known.after(late)
    assert (news is not None, len(after.cases)) == (True, CASES_MAX)
    assert after.latest == known.latest
    weeks = raised("velocity", 100, sent[-1].ts + CASE_KEPT_S + 1.0)
    known, news = after.after(weeks)
    assert [case.id for case in known.cases] == [weeks.id]
    assert [known.after(alert) for alert in (*sent, late)] == [(known, None)] * (len(sent) + 1)


@pytest.mark.parametrize("label_first", [True, False])
def test_labels_and_alerts_may_come_in_any_order(label_first: bool) -> None:
    known, counts = Judged(), RuleQuality()
    steps = [lambda: known.label("t1", "velocity:1").get("velocity"), lambda: known.alert("t1", "velocity")]
    for step in steps if label_first else reversed(steps):
        more = step()
        assert more is not None
        counts = counts.plus(alerts=more.alerts, right=more.right, crimes=more.crimes, found=more.found)
    assert counts == RuleQuality(alerts=1, right=1, crimes=1, found=1)
    assert known.alert("t1", "velocity") == RuleQuality()
    assert known.label("t1", "velocity:1") == {}
    assert known.label("t2", "velocity:1") == {"velocity": RuleQuality()}
