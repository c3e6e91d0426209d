"""Each aggregate against the plain Python, one value at a time, merged, through msgpack, and over a frame."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any
from uuid import UUID

import msgspec
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pelton.aggregate import (
    Aggregate,
    ApproxDistinct,
    Count,
    Distinct,
    First,
    Last,
    Max,
    Mean,
    Min,
    Quantiles,
    Sum,
    Top,
    Variance,
    decode_states,
    encode_states,
)
from pelton.errors import ConfigurationError


class Payment(msgspec.Struct):
    amount: int
    merchant: str


def payments(amounts: Sequence[int]) -> list[Payment]:
    return [Payment(amount, f"m{amount % 3}") for amount in amounts]


def fold(aggregate: Aggregate[Any], values: Sequence[Any]) -> Any:
    """Return the state of the values, each step through the bytes of a table."""
    state = aggregate.initial()
    for value in values:
        (state,) = decode_states(encode_states([aggregate.add(state, value)]))
    return state


def greatest(amounts: list[int]) -> list[tuple[int, str]]:
    rows = [(value.amount, value.merchant) for value in payments(amounts)]
    return sorted(rows, key=lambda row: -row[0])[:2]


EXACT: dict[str, tuple[Aggregate[Any], Callable[[list[int]], Any]]] = {
    "count": (Count(), len),
    "sum": (Sum(Payment.amount), sum),
    "min": (Min("amount"), lambda amounts: min(amounts, default=None)),
    "max": (Max("amount"), lambda amounts: max(amounts, default=None)),
    "first": (First("amount"), lambda amounts: amounts[0] if amounts else None),
    "last": (Last("amount"), lambda amounts: amounts[-1] if amounts else None),
    "mean": (Mean("amount"), lambda amounts: statistics.fmean(amounts) if amounts else None),
    "variance": (Variance("amount"), lambda amounts: statistics.variance(amounts) if len(amounts) > 1 else None),
    "pvariance": (Variance("amount", ddof=0), lambda amounts: statistics.pvariance(amounts) if amounts else None),
    "distinct": (Distinct(Payment.merchant), lambda amounts: len({amount % 3 for amount in amounts})),
    "top": (Top("amount", 2), lambda amounts: sorted(amounts, reverse=True)[:2]),
    "labelled": (Top("amount", 2, label=Payment.merchant), greatest),
}
AMOUNTS = st.lists(st.integers(-1_000_000, 1_000_000), max_size=20)


def same(got: Any, expected: Any) -> bool:
    if isinstance(got, float) and expected is not None:
        return math.isclose(got, expected, rel_tol=1e-9, abs_tol=1e-6)
    return bool(got == expected)


@pytest.mark.parametrize("name", EXACT)
@given(amounts=AMOUNTS, cut=st.integers(0, 20))
def test_exact_aggregates(name: str, amounts: list[int], cut: int) -> None:
    aggregate, naive = EXACT[name]
    values = payments(amounts)
    assert same(aggregate.result(fold(aggregate, values)), naive(amounts))
    merged = aggregate.merge(fold(aggregate, values[:cut]), fold(aggregate, values[cut:]))
    assert same(aggregate.result(merged), naive(amounts))


@pytest.mark.parametrize("name", EXACT)
@given(amounts=AMOUNTS.filter(bool))
def test_polars_says_the_same(name: str, amounts: list[int]) -> None:
    aggregate, naive = EXACT[name]
    frame = pl.DataFrame([{"amount": value.amount, "merchant": value.merchant} for value in payments(amounts)])
    found = frame.select(aggregate.expression().alias("it"))["it"][0]
    if isinstance(found, pl.Series):
        found = [tuple(entry.values()) if isinstance(entry, dict) else entry for entry in found.to_list()]
    assert same(found, naive(amounts))


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Country(Enum):
    FRANCE = "fr"
    PERU = "pe"


#: Fields of every type whose values have an order, and come in no order of theirs.
ORDERED: list[list[Any]] = [
    [Decimal("2.50"), Decimal("1.10"), Decimal("2.50"), Decimal("-0.3")],
    [date(2024, 2, 1), date(2023, 1, 1), date(2024, 2, 1), date(2024, 1, 31)],
    [time(9), time(8, 30), time(9), time(8)],
    [datetime(2024, 1, 2), datetime(2024, 1, 1), datetime(2024, 1, 2), datetime(2023, 12, 31, 23)],
    [datetime(2024, 1, 2, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=timezone(timedelta(hours=5)))],
    [timedelta(days=2), timedelta(microseconds=1), timedelta(days=2), timedelta(-1)],
    [UUID(int=7), UUID(int=3), UUID(int=7), UUID(int=2**100)],
    [(2, "b"), (1, Decimal("0.5")), (2, "b"), (0, date(2024, 1, 1))],
    ["tea", "rum", "tea", "Äpfel"],
    [2**80, -(2**70), 2**80, 5],
    [2.5, -1.0, 2.5, 0.5],
]


@pytest.mark.parametrize("cells", ORDERED, ids=lambda cells: type(cells[0]).__name__)
def test_fields_of_any_type_come_back_from_the_table_as_they_were(cells: list[Any]) -> None:
    def of(aggregate: Callable[..., Aggregate[Any]], *more: Any) -> Any:
        whole = aggregate(_itself, *more)
        state = fold(whole, cells)
        parts = [decode_states(encode_states([fold(whole, some)]))[0] for some in (cells[:1], cells[1:])]
        assert whole.result(whole.merge(*parts)) == whole.result(state)
        return whole.result(state)

    greatest_first = sorted(cells, reverse=True)
    assert (of(Min), of(Max)) == (greatest_first[-1], greatest_first[0])
    assert (of(First), of(Last)) == (cells[0], cells[-1])
    assert of(Top, 2) == greatest_first[:2]
    assert [type(found) for found in of(Top, 2)] == [type(cells[0])] * 2
    assert of(Distinct) == len(set(cells))


def test_money_is_summed_to_the_cent() -> None:
    cents = [Decimal("0.10"), Decimal("0.20"), Decimal("-0.01")]
    assert repr(Sum(_itself).result(fold(Sum(_itself), cents))) == "Decimal('0.29')"
    assert Mean(_itself).result(fold(Mean(_itself), cents)) == pytest.approx(0.29 / 3)
    assert Sum(_itself).result(fold(Sum(_itself), [2**63, 2**63])) == 2**64


def test_an_enum_counts_as_its_value_and_an_object_as_its_fields() -> None:
    countries = [Country.PERU, Country.FRANCE, Country.PERU]
    assert Distinct(_itself).result(fold(Distinct(_itself), countries)) == 2
    assert Max(_itself).result(fold(Max(_itself), countries)) == "pe"
    assert Sum(_itself).result(fold(Sum(_itself), [Level.LOW, Level.HIGH])) == 3
    bought = Payment(5, "tea")
    assert Last(_itself).result(Last(_itself).add(None, bought)) == {"amount": 5, "merchant": "tea"}
    assert Last(_itself).result(fold(Last(_itself), [bought])) == {"amount": 5, "merchant": "tea"}


@pytest.mark.parametrize("name", [name for name in EXACT if name not in {"count", "first", "last"}])
def test_none_is_no_value(name: str) -> None:
    aggregate, naive = EXACT[name]
    given: list[Any] = [{"amount": None, "merchant": None}, *_rows([3, 1, 5]), {"amount": None, "merchant": None}]
    assert same(aggregate.result(fold(aggregate, given)), naive([3, 1, 5]))
    found = pl.DataFrame(given).select(aggregate.expression().alias("it"))["it"][0]
    if isinstance(found, pl.Series):
        found = [tuple(entry.values()) if isinstance(entry, dict) else entry for entry in found.to_list()]
    assert same(found, naive([3, 1, 5]))


@pytest.mark.parametrize("aggregate", [Min, Max, lambda field: Top(field, 3)])
def test_nan_is_neither_least_nor_greatest(aggregate: Callable[..., Aggregate[Any]]) -> None:
    whole = aggregate(_itself)
    plain = whole.result(fold(whole, [1.0, 3.0, 2.0]))
    assert whole.result(fold(whole, [math.nan, 1.0, 3.0, math.nan, 2.0])) == plain


def test_sketches_pass_over_none() -> None:
    for sketch in (ApproxDistinct(_itself), Quantiles(_itself, (0.5,))):
        assert sketch.result(fold(sketch, [None, 3.0, None])) == sketch.result(fold(sketch, [3.0]))


def _itself(value: Any) -> Any:
    return value


def _rows(amounts: Sequence[int]) -> list[dict[str, Any]]:
    return [{"amount": value.amount, "merchant": value.merchant} for value in payments(amounts)]


@pytest.mark.parametrize("count", [0, 1, 100, 20_000])
def test_distinct_values_are_estimated(count: int) -> None:
    sketch = ApproxDistinct(lambda value: f"customer-{value}")
    state = sketch.initial()
    for value in range(count):
        state = sketch.add(state, value)
        if value < 50:
            state = sketch.add(state, value)
    assert sketch.result(state) == pytest.approx(count, rel=0.05, abs=0.01)
    assert len(state) < 5_000
    other = fold(sketch, range(count, count + 100))
    assert sketch.result(sketch.merge(state, other)) == pytest.approx(count + 100, rel=0.05)


def test_quantiles_are_estimated_and_equal_in_every_run() -> None:
    digest = Quantiles(lambda value: value, (0.0, 0.5, 0.99))
    values = random.Random(7).sample(range(10_000), 10_000)
    state = fold(digest, values[:5_000])
    assert state == fold(digest, values[:5_000])
    low, middle, high = digest.result(digest.merge(state, fold(digest, values[5_000:])))
    assert low == 0
    assert middle == pytest.approx(5_000, rel=0.05)
    assert high == pytest.approx(9_900, rel=0.01)
    assert digest.result(digest.initial()) == [None, None, None]


def test_what_cannot_be_meant_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="expected a field"):
        Sum(3)
    with pytest.raises(ConfigurationError, match="function of the value"):
        Sum(lambda value: value).expression()
    with pytest.raises(ConfigurationError, match="at least 1"):
        Top("amount", 0)
    with pytest.raises(ConfigurationError, match="lg_k"):
        ApproxDistinct("amount", lg_k=30)
    with pytest.raises(ConfigurationError, match="shares"):
        Quantiles("amount", (2.0,))
