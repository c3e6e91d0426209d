"""What streams can do, one operator at a time."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from tests.compat.harness import load, until, values, worker

pytestmark = pytest.mark.usefixtures("each_log")

ORDERS = [(1, "ann", "tea", True), (2, "bob", "tea", False), (3, "ann", "rum", True), (4, "bob", "gin", True)]

EXPECTED: dict[str, list[Any]] = {
    "events": [(f"k{number}", number, "orders-events", {"n": b"%d" % number}) for number in (1, 2, 3, 4)],
    "items": [("k1", 1), ("k2", 2), ("k3", 3), ("k4", 4)],
    "filter": [1, 3, 4],
    "async": [1, 3, 4],
    "field": [("ann", 1), ("bob", 2), ("ann", 3), ("bob", 4)],
    "function": [("TEA", 1), ("TEA", 2), ("RUM", 3), ("GIN", 4)],
    "through": [(f"k{number}", number, "through-here") for number in (1, 2, 3, 4)],
    "number": [(1, 1), (2, 2), (3, 3), (4, 4)],
    "noack": [1, 2, 3, 4],
    "chain": [(0, 3), (1, 4)],
}


async def feed(program: ModuleType, name: str) -> None:
    for number, customer, product, paid in ORDERS:
        order = program.Order(id=number, customer=customer, product=product, paid=paid)
        await program.source[name].send(key=f"k{number}", value=order, headers={"n": str(number)})


async def test_operators() -> None:
    program = load("operators")
    async with worker(program.app):
        for name in (*EXPECTED, "take", "echo"):
            await feed(program, name)
        await until(lambda: all(len(program.seen[name]) >= len(rows) for name, rows in EXPECTED.items()))
        assert {name: program.seen[name] for name in EXPECTED} == EXPECTED
        await until(lambda: sum(map(len, program.seen["take"])) == 4)
        assert [number for many in program.seen["take"] for number in many] == [1, 2, 3, 4]
        assert all(len(many) <= 3 for many in program.seen["take"])
        assert [order["id"] for order in await values(program.app, "echoed", 4)] == [1, 2, 3, 4]
        assert [order["id"] for order in await values(program.app, "grouped", 3)] == [1, 3, 4]
