"""Windows of every kind over fields that JSON has no type for: results are of the fields' types, also restored."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest

import pelton
from pelton.aggregate import Distinct, Max, Sum, Top
from pelton.testing import Driver

KINDS: dict[str, Any] = {
    "tumbling": pelton.tumbling(60),
    "sliding": pelton.sliding(60),
    "session": pelton.session(30),
    "counting": pelton.counting(3),
}


class Payment(msgspec.Struct):
    amount: Decimal
    day: date


PAYMENTS = [
    (Payment(Decimal("1.10"), date(2024, 1, 2)), 10.0),
    (Payment(Decimal("2.20"), date(2024, 1, 1)), 30.0),
    (Payment(Decimal("2.20"), date(2024, 1, 2)), 20.0),
]


@pytest.mark.parametrize("kind", KINDS)
def test_money_and_dates_in_windows(kind: str) -> None:
    app = pelton.App(f"aggregated-{kind}")
    payments = app.topic("payments", key_type=str, value_type=Payment)
    found: list[dict[str, Any]] = []

    @app.agent(payments)
    async def paid(stream: pelton.Stream[Payment]) -> None:
        windows = stream.window(KINDS[kind], grace=20).agg(
            total=Sum(Payment.amount), latest=Max("day"), days=Distinct("day"), top=Top("amount", 2, label="day")
        )
        async for result in windows.on_close():
            found.append(dict(result.values))

    with Driver(app) as driver:
        for payment, at in PAYMENTS[:2]:
            driver.send(payments, "é", payment, ts=at)
        driver.crash()
        driver.lose_disk()
        driver.start()
        driver.send(payments, "é", PAYMENTS[2][0], ts=PAYMENTS[2][1])
        if kind != "counting":
            assert max(one.values["total"] for one in paid.windows().between()) == Decimal("5.50")
            driver.send(payments, "é", Payment(Decimal(0), date(2000, 1, 1)), ts=1_000.0)
        assert driver.dead_letters() == []
    assert max(found, key=lambda values: values["total"]) == {
        "total": Decimal("5.50"),
        "latest": date(2024, 1, 2),
        "days": 2,
        "top": [(Decimal("2.20"), date(2024, 1, 1)), (Decimal("2.20"), date(2024, 1, 2))],
    }
