"""Anomalies through the agents, driven: statistics select, the same statistics judge, and people have a say."""

from __future__ import annotations

from itertools import islice

from app import app
from app.anomaly import Opinion, judged
from app.bank import anomaly_alerts, feedback, judgements, raw_logs, suspects, transactions
from app.commands.simulate_feedback import feedback_on
from app.models import Feedback, RawLine, Transaction
from app.simulation import DEFAULT_START, Plan, transactions_from
from app.simulation.services import ServicesPlan, lines_from
from app.tables.anomalies import judgements_of
from pelton.testing import Driver
from tests.app.anomaly.suspects import suspects_in

PLAN = Plan(seed=7, accounts=100)
SENT = list(islice(transactions_from(PLAN), 6_000))


def test_what_is_selected_equals_plain_python_over_crashes_and_is_mostly_fraud() -> None:
    with Driver(app) as driver:
        for start in range(0, len(SENT), 2_000):
            some = SENT[start : start + 2_000]
            driver.send_many(transactions, [(one.transaction.account, one.transaction) for one in some], settle=False)
            driver.crash(after=700 + start)
            driver.start()
            driver.settle()
        found = {record.value.id: record.value for record in driver.read(judgements)}
        assert len(found) == len(driver.read(suspects))

        partitions: dict[int, list[Transaction]] = {}
        for record in driver.read(transactions, again=True):
            partitions.setdefault(record.partition, []).append(record.value)
        expected = suspects_in(partitions.values())
        assert found == {name: judged(one, Opinion(why="there is no model")) for name, one in expected.items()}

        alerts = [record.value for record in driver.read(anomaly_alerts)]
        assert sorted(one.id for one in alerts) == sorted(one.id for one in found.values() if one.selected)
        assert all(one.score >= 0.995 and one.model_score is None and one.by == "statistics" for one in alerts)
        labels = {f"payment:{one.transaction.id}": one.label for one in SENT if one.label}
        right = [one.id for one in alerts if one.id in labels]
        assert len(right) >= 0.6 * len(alerts)  # one payment in seventy is a thief's
        crimes = set(labels.values())
        assert len({labels[name] for name in right}) >= 0.6 * len(crimes)
        assert driver.dead_letters() == []


def test_people_have_a_say_and_may_change_their_mind() -> None:
    with Driver(app) as driver:
        driver.send_many(transactions, [(one.transaction.account, one.transaction) for one in SENT])
        found = [record.value for record in driver.read(judgements)]
        told = driver.request("GET", "/api/anomalies").json()
        assert told["model"] == ""
        assert {one["id"] for one in told["alerts"]} <= {one.id for one in found if one.anomalous}
        assert {one["why"] for one in told["alerts"]} == {"there is no model"}
        (selected,) = [one for one in told["counts"] if one["choice"] == "selected"]
        assert (selected["precision"], selected["by"]) == (None, "statistics")

        truth = [said for one in found if (said := feedback_on(PLAN, one)) is not None]
        assert len(truth) == len(found)
        early = Feedback("payment:to-come", "acc-1", right=False, ts=1.0)
        for said in [*truth, *truth[:3], early]:  # again changes nothing
            body = {"judgement": said.judgement, "key": said.key, "right": said.right}
            assert driver.request("POST", "/api/anomalies/feedback", json=body).status == 202
        counts = driver.request("GET", "/api/anomalies").json()["counts"]
        right = sum(said.right for said in truth if said.judgement in {one.id for one in found if one.anomalous})
        alerts = sum(one.anomalous for one in found)
        assert sum(one["alerts"] for one in counts) == alerts
        assert sum(one["alerts_right"] for one in counts) == right
        assert sum(one["alerts_right"] + one["alerts_wrong"] for one in counts) == alerts
        assert sum(one["passed_right"] + one["passed_wrong"] for one in counts) == len(found) - alerts

        changed = next(said for said in truth if said.right)
        driver.send(feedback, changed.key, Feedback(changed.judgement, changed.key, right=False, ts=2.0))
        told = driver.request("GET", "/api/anomalies").json()
        assert sum(one["alerts_right"] + one["passed_right"] for one in told["counts"]) == (
            sum(one["alerts_right"] + one["passed_right"] for one in counts) - 1
        )
        assert judgements_of[changed.key].said[changed.judgement] is False
        assert judgements_of["acc-1"].said == {"payment:to-come": False}

        for bad in ({}, [], {"judgement": "x", "key": "", "right": True}, {"judgement": "x", "key": "k", "right": 1}):
            assert driver.request("POST", "/api/anomalies/feedback", json=bad).status == 400
        assert "Anomalies" in driver.request("GET", "/anomalies").text
        assert driver.dead_letters() == []


def test_lines_of_logs_are_judged_too() -> None:
    with Driver(app) as driver:
        lines = islice(lines_from(ServicesPlan(7, 4, DEFAULT_START)), 21 * 60 * 4)  # the second cycle has news
        driver.send_many(raw_logs, [(line.source, RawLine(line.text), line.ts) for line in lines])
        found = [record.value for record in driver.read(judgements)]
        alerts = [one for one in found if one.anomalous]
        assert {(one.key, *one.signals) for one in alerts} == {("payments", "burst"), ("ledger", "new_template")}
        assert all(0.8 <= one.score < 1 for one in alerts)
        sample = [one for one in found if not one.selected]
        assert 0 < len(sample) < 50
        assert {one.explanation for one in sample} == {"Drawn at random; statistics find nothing unusual."}
        assert driver.dead_letters() == []
