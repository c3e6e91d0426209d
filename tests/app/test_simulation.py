"""The generator: a pure function of its plan, and traffic that a bank would recognise."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import msgspec
import pytest

from app.models import Transaction
from app.simulation import KINDS, Labelled, Plan, block, transactions_from
from app.simulation.traffic import event_time

PLAN = Plan(seed=7, accounts=2_000)


@pytest.fixture(scope="module")
def payments() -> list[Labelled]:
    return list(islice(transactions_from(PLAN), 30_000))


def test_same_plan_same_payments(payments: list[Labelled]) -> None:
    assert list(islice(transactions_from(PLAN), 2_500)) == payments[:2_500]
    assert list(islice(transactions_from(Plan(seed=8, accounts=2_000)), 100)) != payments[:100]


@pytest.mark.parametrize("sequence", [1, 999, 1_000, 1_001, 17_345])
def test_resumes_anywhere(payments: list[Labelled], sequence: int) -> None:
    assert list(islice(transactions_from(PLAN, sequence), 50)) == payments[sequence : sequence + 50]


def test_ids_name_seed_and_sequence(payments: list[Labelled]) -> None:
    assert [payment.transaction.id for payment in payments] == [f"tx-7-{number}" for number in range(len(payments))]


def test_every_payment_satisfies_its_own_type(payments: list[Labelled]) -> None:
    for payment in payments:
        encoded = msgspec.json.encode(payment.transaction)
        assert msgspec.json.decode(encoded, type=Transaction) == payment.transaction


def test_fraud_is_rare_and_of_every_kind(payments: list[Labelled]) -> None:
    labels = [payment.label for payment in payments if payment.label]
    assert 0.003 < len(labels) / len(payments) < 0.02
    episodes = Counter(label.split(":")[0] for label in set(labels))
    assert set(episodes) == set(KINDS)
    assert min(episodes.values()) >= 5


def test_a_crime_has_one_victim_and_ends_within_ten_minutes(payments: list[Labelled]) -> None:
    crimes: dict[str, list[Transaction]] = {}
    for payment in payments:
        if payment.label:
            crimes.setdefault(payment.label, []).append(payment.transaction)
    for crime in crimes.values():
        assert len({tx.account for tx in crime}) == 1
        assert max(tx.ts for tx in crime) - min(tx.ts for tx in crime) <= 605


def test_time_goes_on_and_records_are_a_little_late_at_most(payments: list[Labelled]) -> None:
    newest = 0.0
    late = 0
    for payment in payments:
        late += payment.transaction.ts < newest
        assert payment.transaction.ts >= newest - 3.001
        newest = max(newest, payment.transaction.ts)
    assert 0 < late < len(payments) * 0.05


def test_customers_sleep(payments: list[Labelled]) -> None:
    hours = Counter(int(payment.transaction.ts % 86_400 // 3_600) for payment in payments)
    assert hours[18] > 5 * hours[3]


def test_a_day_holds_six_payments_a_customer() -> None:
    assert event_time(PLAN, 0) == PLAN.start
    assert event_time(PLAN, 12_000) == PLAN.start + 86_400
    assert event_time(PLAN, 12_000 * 2 + 6_000) == pytest.approx(PLAN.start + 86_400 * 2 + 14 * 3_600, abs=3_600)


def test_the_label_is_nowhere_in_the_record(payments: list[Labelled]) -> None:
    for payment in payments:
        if payment.label:
            assert payment.label.encode() not in msgspec.json.encode(payment.transaction)


@pytest.mark.parametrize("accounts", [1, 10, 50_000])
def test_any_number_of_customers(accounts: int) -> None:
    plan = Plan(seed=1, accounts=accounts)
    drawn = block(plan, 3)
    assert len(drawn) == plan.block_size
    assert len({payment.transaction.account for payment in drawn}) <= accounts
