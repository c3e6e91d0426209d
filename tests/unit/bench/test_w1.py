"""The harness' own judgement, tested by mutation: an oracle that accepts anything proves nothing."""

import json
from functools import reduce
from operator import add

import pytest

from bench.w1 import (
    ALERT_ABOVE,
    Expected,
    Totals,
    Workload,
    expected,
    judge_alerts,
    judge_windows,
    last_values,
    partition_of,
    records,
)

WORKLOAD = Workload(records=20_000, accounts=50, step_ms=10)


@pytest.fixture(scope="module")
def answer() -> Expected:
    return expected(records(WORKLOAD))


def published(answer: Expected) -> list[bytes]:
    """The alerts of a correct run."""
    return [json.dumps(alert._asdict()).encode() for alert in answer.alerts.elements()]


def kept(answer: Expected) -> list[Totals]:
    """The windows of a correct run."""
    return list(answer.windows.values())


def test_the_input_is_a_pure_function_of_the_workload() -> None:
    assert list(records(Workload(records=500))) == list(records(Workload(records=500)))
    assert list(records(Workload(records=500))) != list(records(Workload(records=500, seed=8)))


def test_a_shorter_workload_is_a_prefix_of_a_longer_one() -> None:
    assert list(records(Workload(records=500)))[:100] == list(records(Workload(records=100)))


def test_records_are_as_the_workload_says() -> None:
    rows = list(records(WORKLOAD))
    sizes = [len(row.value) for row in rows]
    assert 180 <= sum(sizes) / len(sizes) <= 200
    assert {row.partition for row in rows} == {0, 1, 2, 3}
    assert all(row.partition == partition_of(row.key, 4) for row in rows)
    for number, row in enumerate(rows[:200]):
        tx = json.loads(row.value)
        assert tx["account"].encode() == row.key
        assert round(tx["ts"] * 1000) == row.timestamp_ms == WORKLOAD.start_ms + number * WORKLOAD.step_ms


def test_one_amount_in_a_hundred_raises_an_alert() -> None:
    amounts = [json.loads(row.value)["amount"] for row in records(Workload(records=50_000))]
    assert sum(amount > ALERT_ABOVE for amount in amounts) / len(amounts) == pytest.approx(0.01, abs=0.002)


@pytest.mark.parametrize(("key", "hashed"), [(b"21", -973932308), (b"foobar", -790332482), (b"abc", 479470107)])
def test_partitions_are_those_of_kafka(key: bytes, hashed: int) -> None:
    """The vectors are those of Kafka's own UtilsTest.testMurmur2."""
    assert partition_of(key, 1_000) == (hashed & 0x7FFFFFFF) % 1_000


def test_the_oracle_agrees_with_a_hand_count(answer: Expected) -> None:
    rows = [row for row in records(WORKLOAD) if row.key == b"acc-000003" and row.timestamp_ms < 1_760_000_040_000]
    amounts = [json.loads(row.value)["amount"] for row in rows]
    # One addition after the other, as the systems do it: from Python 3.12 on, sum() rounds floats once only.
    assert answer.windows["acc-000003", 1_759_999_980] == Totals(len(amounts), reduce(add, amounts))
    assert answer.records == WORKLOAD.records


def test_a_correct_run_is_accepted_in_any_order(answer: Expected) -> None:
    assert judge_alerts(answer, reversed(published(answer))) == []
    assert judge_windows(answer, reversed(kept(answer))) == []


def test_a_lost_alert_is_caught(answer: Expected) -> None:
    (fault,) = judge_alerts(answer, published(answer)[1:])
    assert fault.startswith("1 alerts lost")


def test_a_doubled_alert_is_caught(answer: Expected) -> None:
    alerts = published(answer)
    (fault,) = judge_alerts(answer, [*alerts, alerts[0]])
    assert fault.startswith("1 alerts doubled")


@pytest.mark.parametrize(("field", "change"), [("sum", 0.01), ("count", 1), ("id", "0"), ("account", "0")], ids=str)
def test_an_alert_with_a_wrong_field_is_caught(answer: Expected, field: str, change: float | str) -> None:
    first, *others = published(answer)
    alert = json.loads(first)
    alert[field] += change
    assert len(judge_alerts(answer, [json.dumps(alert).encode(), *others])) == 2


def test_a_lost_window_is_caught(answer: Expected) -> None:
    assert "records in total" in judge_windows(answer, kept(answer)[1:])[0]


def test_a_doubled_window_is_caught(answer: Expected) -> None:
    assert "records in total" in judge_windows(answer, [*kept(answer), kept(answer)[0]])[0]


def test_a_wrong_sum_is_caught_where_all_counts_are_right(answer: Expected) -> None:
    first, *others = kept(answer)
    (fault,) = judge_windows(answer, [first._replace(sum=first.sum + 0.01), *others])
    assert fault.startswith("2 windows differ")


def test_a_count_moved_from_one_window_to_another_is_caught(answer: Expected) -> None:
    first, second, *others = kept(answer)
    moved = [first._replace(count=first.count - 1), second._replace(count=second.count + 1)]
    (fault,) = judge_windows(answer, [*moved, *others])
    assert "windows differ" in fault


def test_the_last_value_of_a_key_counts_and_a_tombstone_after_it_does_not() -> None:
    changelog = [(b"a", b"1"), (b"b", b"2"), (b"a", b"3"), (b"b", None), (None, b"4")]
    assert last_values(changelog) == [b"3", b"2"]
