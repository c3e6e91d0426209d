"""The saga of an order over the bank and three services: its ends, its money, services that are down or die."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from app import app as bank
from app.bank import accounts, order_events
from app.models.ledger import Deposit, Freeze, Open
from app.models.order import CancelRequested, OrderCancelled, OrderPlaced, OrderRequested, OrderView
from app.retention import ORDERS
from app.services.notifications import app as notifications
from app.services.orders import DELIVERY, DELIVERY_TIME, PAYMENT_TIME, stock
from app.services.orders import app as orders
from app.services.orders import orders as known_orders
from app.services.payments import app as payments
from app.services.payments import taken
from app.simulation.orders import purchases, shoppers
from app.tables import order_views
from pelton.testing import Driver

FUNDS = 30_000_00


@pytest.fixture
def driver() -> Iterator[Driver]:
    with Driver(bank, orders, payments, notifications) as driver:
        driver.send_many(accounts.commands, [("ann", Open("Ann")), ("ann", Deposit(FUNDS))])
        yield driver


def request(driver: Driver, order: str, product: str = "wallet", quantity: int = 1) -> OrderView:
    driver.send(order_events, order, OrderRequested(order, "ann", product, quantity))
    return order_views[order]


def cancel(driver: Driver, order: str) -> OrderView:
    driver.send(order_events, order, CancelRequested(order))
    return order_views[order]


def kinds(driver: Driver, order: str) -> list[str]:
    """Return the names of an order's events, in the order of the log."""
    return [type(one.value).__name__ for one in driver.read(order_events, again=True) if one.key == order]


def balance() -> int:
    state: Any = accounts.state("ann")
    return int(state.balance_cents)


def test_an_order_is_paid_for_put_aside_and_told_of_once_however_often_it_is_asked_for(driver: Driver) -> None:
    for _ in range(2):
        view = request(driver, "o-1", quantity=2)
        assert (view.status, view.cents, view.told) == ("confirmed", 78_00, ["Your order is on its way."])
    assert (balance(), stock["wallet"]) == (FUNDS - 78_00, DELIVERY - 2)
    assert cancel(driver, "o-1").status == "confirmed"  # too late
    assert kinds(driver, "o-1").count("OrderPlaced") == kinds(driver, "o-1").count("CustomerTold") == 1
    assert driver.dead_letters() == []


def test_what_cannot_be_had_or_paid_for_is_cancelled_and_what_was_paid_comes_back(driver: Driver) -> None:
    view = request(driver, "o-1", "the moon")
    assert (view.status, view.reason) == ("cancelled", "there is no such product")
    view = request(driver, "o-2", quantity=999)
    assert (view.status, view.reason) == (
        "cancelled",
        "insufficient funds: 38,961.00 EUR asked, 30,000.00 EUR available",
    )
    view = request(driver, "o-3", quantity=DELIVERY + 1)
    assert (view.status, view.reason, balance()) == ("returned", f"only {DELIVERY} left of wallet", FUNDS)
    assert view.told == [
        f"Your order was cancelled: only {DELIVERY} left of wallet.",
        "You have 7,839.00 EUR back.",
    ]
    assert request(driver, "o-4", quantity=DELIVERY - 1).status == "confirmed"
    assert request(driver, "o-5", quantity=2).status == "returned"
    driver.advance(DELIVERY_TIME)
    assert request(driver, "o-6", quantity=2).status == "confirmed"
    assert list(taken.keys()) == [], "what came back, or need not come back any more"


def test_an_order_to_which_nothing_happens_any_more_is_forgotten(driver: Driver) -> None:
    def all_partitions(name: str) -> None:
        others = [f"{name}-{number}" for number in range(16)]
        driver.send_many(order_events, [(order, CancelRequested(order), at) for order in others])

    at = 1_800_000_000.0
    driver.send(order_events, "o-1", OrderRequested("o-1", "ann", "wallet", 1), at)
    assert (order_views["o-1"].status, known_orders["o-1"].status) == ("confirmed", "confirmed")
    at += ORDERS - 10
    driver.send(order_events, "o-1", CancelRequested("o-1"), at)  # too late, but it is something
    at += 20
    all_partitions("still")
    assert "o-1" in order_views
    assert "o-1" in known_orders
    at += ORDERS
    all_partitions("then")
    assert "o-1" not in order_views
    assert "o-1" not in known_orders
    assert {f"then-{number}" for number in range(16)} <= set(order_views.keys())


def test_services_that_are_down_are_waited_for(driver: Driver) -> None:
    driver.stop(notifications)
    driver.stop(payments)
    assert request(driver, "o-1").status == "placed"
    assert cancel(driver, "o-1").status == "cancelled"
    assert request(driver, "o-2").status == "placed"
    assert request(driver, "o-3").status == "placed"
    driver.advance(PAYMENT_TIME / 2)
    driver.stop(bank)
    driver.start(payments)
    driver.advance(PAYMENT_TIME / 2)  # the bank does not answer
    driver.start(bank)
    driver.advance(60)  # it is asked again
    assert {order_views[order].status for order in ("o-1", "o-2", "o-3")} == {"returned"}
    assert request(driver, "o-4").status == "confirmed"
    driver.start(notifications)
    driver.settle()
    assert [len(order_views[order].told) for order in ("o-1", "o-2", "o-3", "o-4")] == [2, 2, 2, 1]
    assert balance() == FUNDS - 39_00
    assert driver.dead_letters() == []


def test_money_that_an_account_does_not_take_back_is_for_a_person_to_see_to(driver: Driver) -> None:
    driver.stop(orders)
    driver.send(order_events, "o-1", OrderPlaced("o-1", "ann", 39_00))
    driver.send(accounts.commands, "ann", Freeze())
    driver.send(order_events, "o-1", OrderCancelled("o-1", "no reason"))
    assert (order_views["o-1"].status, order_views["o-1"].reason) == ("stuck", "the account is frozen")
    assert balance() == FUNDS - 39_00


ENDS = {
    "good": ("confirmed", 39_00, 1),
    "sold-out": ("returned", 0, 2),
    "poor": ("cancelled", 0, 1),
}


def test_wherever_all_of_them_die_nothing_is_lost_or_doubled(driver: Driver) -> None:
    quantities = {"good": 1, "sold-out": DELIVERY + 1, "poor": 999}
    turns, taken_turns, run = 0, 0, 0
    while taken_turns == turns:
        turns, run = turns + 7, run + 1
        sent = {f"{kind}-{run}": quantity for kind, quantity in quantities.items()}
        requests = [(order, OrderRequested(order, "ann", "wallet", quantity)) for order, quantity in sent.items()]
        before, left = balance(), stock["wallet"]
        driver.send_many(order_events, requests, settle=False)
        taken_turns = driver.crash(after=turns)
        driver.start()
        driver.settle()
        for order in sent:
            status, _, told = ENDS[order.rpartition("-")[0]]
            assert (order_views[order].status, len(order_views[order].told)) == (status, told), kinds(driver, order)
            assert len(set(kinds(driver, order))) == len(kinds(driver, order)) - (told - 1), kinds(driver, order)
        assert (balance(), stock["wallet"]) == (before - 39_00, left - 1)
    assert run > 5


def test_what_shoppers_do_comes_to_every_end(driver: Driver) -> None:
    sent = [one for one, _ in zip(purchases(7, "s"), range(200), strict=False)]
    assert sent == [one for one, _ in zip(purchases(7, "s"), range(200), strict=False)]
    driver.send_many(accounts.commands, shoppers())
    driver.send_many(accounts.commands, [one.deposit for one in sent if one.deposit])
    driver.send_many(order_events, [(one.order.order, one.order) for one in sent], settle=False)
    driver.send_many(order_events, [(one.cancel.order, one.cancel) for one in sent if one.cancel])
    counts = driver.request("GET", "/orders").json()["counts"]
    assert (counts.keys(), sum(counts.values())) == ({"confirmed", "cancelled", "returned"}, 200)
    assert driver.dead_letters() == []


def test_the_gateway_takes_orders_and_tells_what_became_of_them(driver: Driver) -> None:
    wanted = {"account": "ann", "product": "wallet"}
    placed = driver.request("POST", "/orders", json=wanted, headers={"Idempotency-Key": "o-1"})
    assert (placed.status, placed.headers["Location"]) == (202, "/orders/o-1")
    state = driver.request("GET", "/orders/o-1")
    assert (state.status, state.json()["status"], state.json()["cents"]) == (200, "confirmed", 39_00)
    again = driver.request("POST", "/orders", json=wanted, headers={"Idempotency-Key": "o-1", "Prefer": "wait=5"})
    assert (again.status, again.json()["status"]) == (200, "confirmed")
    waited = driver.request("POST", "/orders", json={**wanted, "quantity": 999}, headers={"Prefer": "wait=5"})
    assert (waited.status, waited.json()["status"], waited.json()["reason"][:18]) == (
        200,
        "cancelled",
        "insufficient funds",
    )
    assert waited.json()["ts"] > 0
    driver.stop(payments)
    late = driver.request("POST", "/orders", json=wanted, headers={"Idempotency-Key": "o-2", "Prefer": "wait=5"})
    assert (late.status, driver.request("GET", "/orders/o-2").json()["status"]) == (202, "placed")
    assert driver.request("POST", "/orders/o-2/cancel").status == 202
    told = driver.request("GET", "/orders").json()
    assert told["counts"] == {"confirmed": 1, "cancelled": 2}
    assert {one["order"] for one in told["orders"]} >= {"o-1", "o-2"}
    for wrong in ({"product": "wallet"}, {**wanted, "quantity": 0}, {**wanted, "quantity": "1"}, []):
        assert driver.request("POST", "/orders", json=wrong).status == 400
    assert driver.request("POST", "/orders", json=wanted, headers={"Idempotency-Key": "../x"}).status == 400
    assert driver.request("GET", "/orders/nobody").status == 404
    assert driver.request("GET", "/shop").status == 200
