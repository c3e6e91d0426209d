"""The rules against cases computed by hand."""

from __future__ import annotations

import math

import pytest

from app.models import (
    AccountProfile,
    AccountWindow,
    Alert,
    AmountEvidence,
    CardTestingEvidence,
    Place,
    TravelEvidence,
    VelocityEvidence,
)
from app.rules import (
    Span,
    amount_against_history,
    card_testing,
    distance_km,
    examine,
    impossible_travel,
    velocity,
)
from tests.app.payments import payment

MINUTE = Span(1_200.0, 1_260.0)
TEN_MINUTES = Span(720.0, 1_320.0)
BERLIN, PARIS, TOKYO = (52.52, 13.405), (48.857, 2.352), (35.68, 139.69)


def seen_in(place: tuple[float, float], ts: float) -> AccountProfile:
    return AccountProfile(countries=["DE"], last_place=Place("tx-0", "DE", *place, ts))


@pytest.mark.parametrize(("count", "raised"), [(4, False), (5, True), (6, False)])
def test_velocity_speaks_once_a_window(count: int, raised: bool) -> None:
    window = AccountWindow(count=count, total=99.5, merchants=["A", "B"])
    alert = velocity(payment(), window, MINUTE)
    assert (alert is not None) == raised
    if alert:
        assert alert == Alert(
            "velocity:tx-1",
            "acc-1",
            "velocity",
            "tx-1",
            1.0,
            1_200.0,
            1_260.0,
            1_230.0,
            VelocityEvidence(5, 99.5, ["A", "B"]),
        )


def habit(amount: float, payments: int) -> AccountProfile:
    profile = AccountProfile()
    for _ in range(payments):
        profile = profile.after(payment(amount=amount))
    return profile


def test_amount_far_above_the_habit() -> None:
    alert = amount_against_history(payment(amount=500.0), habit(20.0, 10))
    # mean log(20), deviation sqrt(10 * 0.25 / 20 * (1 + 1 / 10)) = 0.37081, z = log(25) / 0.37081 = 8.68
    assert alert is not None
    assert alert.evidence == AmountEvidence(amount=500.0, typical=20.0, z=8.68, payments=10)
    assert alert.score == pytest.approx(8.68 / 4.5, abs=0.01)
    assert (alert.window_start, alert.window_end) == (1_230.0, 1_230.0)


def test_amount_needs_a_history_and_a_sum_worth_stealing() -> None:
    assert amount_against_history(payment(amount=500.0), habit(20.0, 2)) is None
    assert amount_against_history(payment(amount=49.99), habit(2.01, 50)) is None
    assert amount_against_history(payment(amount=60.0), habit(20.0, 10)) is None


def test_few_payments_ask_for_a_larger_one() -> None:
    # deviation sqrt(10 * 0.25 / 13 * (1 + 1 / 3)) = 0.50637: from 20 * exp(4.5 * 0.50637) = 195.3 on, not 20 * 7.2
    assert amount_against_history(payment(amount=195.0), habit(20.0, 3)) is None
    assert amount_against_history(payment(amount=196.0), habit(20.0, 3)) is not None


def test_tiny_amounts_teach_nothing_about_the_habit() -> None:
    profile = habit(20.0, 3).after(payment(amount=2.0))
    assert profile.payments == 3
    assert profile.typical_amount == pytest.approx(20.0)


def test_profile_is_mean_and_variance_of_the_logarithm() -> None:
    amounts = [12.0, 30.0, 7.5, 80.0, 22.0]
    profile = AccountProfile()
    for amount in amounts:
        profile = profile.after(payment(amount=amount))
    logs = [math.log(amount) for amount in amounts]
    mean = sum(logs) / 5
    assert profile.mean_log == pytest.approx(mean)
    assert profile.m2_log == pytest.approx(sum((x - mean) ** 2 for x in logs))


def test_distance() -> None:
    assert distance_km(*BERLIN, *PARIS) == pytest.approx(878, abs=1)
    assert distance_km(*BERLIN, *BERLIN) == 0
    assert distance_km(0, 0, 0, 180) == pytest.approx(math.pi * 6371)


def test_impossible_travel() -> None:
    far = payment(lat=TOKYO[0], lon=TOKYO[1], country="JP", ts=1_230.0)
    alert = impossible_travel(far, seen_in(BERLIN, 1_230.0 - 3_600))
    assert alert is not None
    assert isinstance(alert.evidence, TravelEvidence)
    assert alert.evidence.km == pytest.approx(8_918, abs=5)
    assert alert.evidence.minutes == 60.0
    assert alert.evidence.new_country
    assert alert.evidence.previous == "tx-0"
    assert (alert.window_start, alert.window_end) == (-2_370.0, 1_230.0)


@pytest.mark.parametrize(
    ("hours", "raised"),
    [(0.9, True), (0.98, False), (24.0, False), (-0.5, True), (0.0, True)],
    ids=["too fast", "just possible", "a day later", "late record", "same moment"],
)
def test_travel_is_judged_by_speed(hours: float, raised: bool) -> None:
    tx = payment(lat=PARIS[0], lon=PARIS[1], country="FR", ts=100_000.0)  # 878 km
    assert (impossible_travel(tx, seen_in(BERLIN, 100_000.0 - hours * 3_600)) is not None) == raised


def test_travel_ignores_suburbs_and_cards_that_were_not_there() -> None:
    before = seen_in(BERLIN, 1_229.0)
    assert impossible_travel(payment(lat=52.40, lon=13.07), before) is None  # Potsdam
    assert impossible_travel(payment(channel="online", lat=TOKYO[0], lon=TOKYO[1]), before) is None
    assert impossible_travel(payment(lat=None, lon=None), before) is None
    assert impossible_travel(payment(lat=TOKYO[0], lon=TOKYO[1]), AccountProfile()) is None


def merchants_tested(*merchants: str) -> AccountWindow:
    return AccountWindow(count=len(merchants), tiny=len(merchants), tiny_merchants=list(merchants))


def test_card_testing_speaks_when_the_limit_is_reached() -> None:
    tx = payment(channel="online", amount=1.0, merchant="D", lat=None, lon=None)
    assert card_testing(tx, merchants_tested("A", "B", "D"), TEN_MINUTES) is None
    alert = card_testing(tx, merchants_tested("A", "B", "C", "D"), TEN_MINUTES)
    assert alert is not None
    assert alert.evidence == CardTestingEvidence(["A", "B", "C", "D"], 4, 1.0)
    assert (alert.window_start, alert.window_end) == TEN_MINUTES
    assert card_testing(tx, merchants_tested("A", "B", "C", "D", "E"), TEN_MINUTES) is None


def test_card_testing_speaks_again_on_the_purchase() -> None:
    purchase = payment(channel="online", amount=180.0, merchant="Z", lat=None, lon=None)
    alert = card_testing(purchase, merchants_tested("A", "B", "C", "D", "E"), TEN_MINUTES)
    assert alert is not None
    assert alert.score == 1.25
    assert card_testing(payment(amount=180.0), merchants_tested("A", "B", "C", "D", "E"), TEN_MINUTES) is None


def test_examine_asks_every_rule() -> None:
    tx = payment(lat=TOKYO[0], lon=TOKYO[1], amount=900.0)
    profile = habit(20.0, 12)
    alerts = examine(tx, profile, (AccountWindow(count=5), MINUTE), (AccountWindow(count=5), TEN_MINUTES))
    assert [alert.rule for alert in alerts] == ["velocity", "amount", "impossible_travel"]
    assert len({alert.id for alert in alerts}) == 3


def test_a_thief_does_not_move_the_owner() -> None:
    profile = seen_in(BERLIN, 0.0)
    far = payment(lat=TOKYO[0], lon=TOKYO[1], country="JP")
    assert profile.after(far, trust_place=False).last_place == profile.last_place
    moved = profile.after(far).last_place
    assert moved is not None
    assert moved.country == "JP"


def test_a_late_record_does_not_move_the_owner_back() -> None:
    profile = seen_in(BERLIN, 5_000.0)
    assert profile.after(payment(lat=PARIS[0], lon=PARIS[1], ts=4_000.0)).last_place == profile.last_place


def test_window_adds_up() -> None:
    window = AccountWindow()
    for tx in (
        payment(amount=0.1),
        payment(amount=0.2, merchant="Kiosk", country="AT"),
        payment(amount=1.5, channel="online", merchant="Games", country="AT"),
        payment(amount=2.01, channel="online", merchant="Games"),
    ):
        window += tx
    assert window == AccountWindow(
        count=4,
        total=3.81,
        countries=["DE", "AT"],
        merchants=["Bakery", "Kiosk", "Games"],
        tiny=1,
        tiny_merchants=["Games"],
    )


def test_window_keeps_a_bounded_number_of_names() -> None:
    window = AccountWindow()
    for number in range(100):
        window += payment(merchant=f"Shop {number}")
    assert (window.count, len(window.merchants)) == (100, 32)
