"""The join by a foreign key that docs/semantics.md leads to, against dicts, for any changes and crashes."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from pelton.testing import Driver
from tests.compat.harness import load

IDS, CUSTOMERS = st.sampled_from(["o1", "o2", "o3"]), st.sampled_from(["ann", "bob", "é"])
ORDERS = st.tuples(st.just("orders"), IDS, st.none() | st.tuples(CUSTOMERS, st.integers(0, 2)))
RENAMES = st.tuples(st.just("customers"), CUSTOMERS, st.none() | st.sampled_from(["A", "B"]))


@settings(deadline=None, max_examples=25)
@example(
    changes=[("orders", "o1", ("ann", 1)), ("customers", "ann", "A"), ("orders", "o1", ("bob", 1))],
    crash=2,
    at_once=True,
)
@given(
    changes=st.lists(ORDERS | RENAMES, min_size=1, max_size=15),
    crash=st.integers(0, 40),
    at_once=st.booleans(),
)
def test_rows_come_to_the_join_of_both_tables(changes: list[tuple[str, str, Any]], crash: int, at_once: bool) -> None:
    program = load("foreign_keys")
    with Driver(program.app) as driver:
        for topic, key, value in changes:
            order = program.Order(*value) if topic == "orders" and value is not None else value
            driver.send(topic, key, order, settle=not at_once)
        driver.crash(after=crash)
        driver.start()
        driver.settle()
        folded = {record.key: record.value for record in driver.read(program.rows, again=True)}
        assert driver.dead_letters() == []
    last: dict[str, dict[str, Any]] = {"orders": {}, "customers": {}}
    for topic, key, value in changes:
        last[topic][key] = value
    placed = {id_: order for id_, order in last["orders"].items() if order is not None}
    expected = {
        id_: program.Row(amount, last["customers"][customer])
        for id_, (customer, amount) in placed.items()
        if last["customers"].get(customer) is not None
    }
    assert {id_: row for id_, row in folded.items() if row is not None} == expected
