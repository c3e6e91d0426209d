"""Windows over a grouped stream, in a worker that stops and starts in the middle of them."""

from __future__ import annotations

from types import ModuleType

import pytest

from tests.compat.harness import load, until, values, worker

pytestmark = pytest.mark.usefixtures("each_log")

SALES = [
    ("tea", "ann", 2.0, 0.0),
    ("tea", "bob", 3.0, 10.0),
    ("rum", "ann", 9.0, 20.0),
    ("tea", "ann", 4.0, 59.0),
]
LATER = [("tea", "bob", 5.0, 65.0), ("tea", "bob", 1.0, 58.0), ("rum", "eve", 8.0, 70.0), ("rum", "eve", 8.0, 7.0)]


async def sell(program: ModuleType, sales: list[tuple[str, str, float, float]]) -> None:
    for product, customer, price, at in sales:
        await program.sales.send(key="shop", value=program.Sale(product=product, customer=customer, price=price, at=at))


async def test_windows_go_on_after_a_restart_and_close_once() -> None:
    program = load("windowed_streams")
    async with worker(program.app):
        await sell(program, SALES)
        await until(lambda: len(program.visits) == 4)
        assert program.minutes == []
    assert sorted(program.visits) == [
        ("ann", 30_000, 1),
        ("ann", 30_000, 1),
        ("ann", 50_000, 2),
        ("bob", 30_000, 1),
    ]

    again = load("windowed_streams")
    async with worker(again.app):
        await sell(again, LATER)
        await until(lambda: len(again.minutes) == 2)
        assert sorted(again.minutes) == [("rum", 0, 1, 9.0, 9.0), ("tea", 0, 3, 9.0, 4.0)]
        assert [sale["at"] for sale in await values(again.app, "late-sales", 2)] in ([58.0, 7.0], [7.0, 58.0])
