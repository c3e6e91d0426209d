"""The oracle against runs small enough to work out by hand, and the rules' quality over a simulated week."""

from __future__ import annotations

from itertools import islice

import pytest

from app.evaluation import quality_by_rule
from app.oracle import replay
from app.simulation import Plan, transactions_from
from tests.app.payments import payment


def test_windows_by_hand() -> None:
    expected = replay(
        [
            [payment(id="a", ts=59.9, amount=0.1), payment(id="b", ts=60.0, amount=0.2), payment(id="c", ts=130.0)],
            [payment(id="d", account="acc-2", ts=30.0, country="FR")],
        ]
    )
    counts = {address: window["count"] for address, window in expected.minutes.items()}
    assert counts == {("acc-1", 0.0): 1, ("acc-1", 60.0): 1, ("acc-1", 120.0): 1, ("acc-2", 0.0): 1}
    hopping = {
        start: window["count"] for (account, start), window in expected.ten_minutes.items() if account == "acc-1"
    }
    assert hopping == {-480.0: 2, -360.0: 3, -240.0: 3, -120.0: 3, 0.0: 3, 120.0: 1}
    assert expected.ten_minutes["acc-1", 0.0]["total"] == 20.3
    assert expected.minutes["acc-2", 0.0]["countries"] == ["FR"]
    assert expected.payments == 4


def test_alerts_by_hand() -> None:
    spree = [payment(id=f"t{number}", ts=float(number)) for number in range(7)]
    far = payment(id="far", lat=35.68, lon=139.69, country="JP", ts=3_600.0)
    home = payment(id="home", ts=7_200.0)
    expected = replay([[*spree, far, home]])
    assert [alert.id for alert in expected.alerts] == ["velocity:t4", "impossible_travel:far"]
    assert expected.profiles["acc-1"]["last_place"]["transaction"] == "home"
    assert [alert.transaction for alert in expected.histories(20)["acc-1"]] == ["far", "t4"]
    assert [alert.transaction for alert in expected.histories(1)["acc-1"]] == ["far"]


def test_rules_find_the_simulated_thieves() -> None:
    payments = list(islice(transactions_from(Plan(seed=3, accounts=1_000)), 40_000))
    labels = {payment.transaction.id: payment.label for payment in payments if payment.label}
    expected = replay([[payment.transaction for payment in payments]])
    qualities = {quality.rule: quality for quality in quality_by_rule(expected.alerts, labels)}
    floors = {
        "velocity": (0.9, 0.8),
        "amount": (0.5, 0.5),
        "impossible_travel": (0.7, 0.95),
        "card_testing": (0.9, 0.95),
    }
    for rule, (precision, recall) in floors.items():
        assert qualities[rule].precision == pytest.approx(1, abs=1 - precision), qualities[rule]
        assert qualities[rule].recall == pytest.approx(1, abs=1 - recall), qualities[rule]


def test_quality_without_anything_to_judge() -> None:
    assert all(quality.precision is None and quality.recall is None for quality in quality_by_rule([], {}))
