"""An order, from the request to its end: all that happens to it, in one topic, each event under the order's id."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

__all__ = [
    "PRICES_CENTS",
    "CancelRequested",
    "CustomerTold",
    "OrderCancelled",
    "OrderConfirmed",
    "OrderEvent",
    "OrderPlaced",
    "OrderRequested",
    "OrderStatus",
    "OrderView",
    "PaymentRefused",
    "PaymentReturned",
    "PaymentTaken",
    "ReturnRefused",
    "StockRefused",
    "StockReserved",
]

OrderId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
Name = Annotated[str, Meta(min_length=1, max_length=64)]
Quantity = Annotated[int, Meta(ge=1, le=1_000)]

#: What can be ordered.
PRICES_CENTS = {"umbrella": 19_90, "piggy bank": 12_50, "coin roll": 50_00, "wallet": 39_00}


class OrderRequested(msgspec.Struct, frozen=True, tag=True):
    """By the gateway: a customer wants something."""

    order: OrderId
    account: Name
    product: Name
    quantity: Quantity = 1


class CancelRequested(msgspec.Struct, frozen=True, tag=True):
    """By the gateway: the customer has changed their mind."""

    order: OrderId


class OrderPlaced(msgspec.Struct, frozen=True, tag=True):
    """By orders: it can be had, and costs so much."""

    order: str
    account: str
    cents: int


class OrderConfirmed(msgspec.Struct, frozen=True, tag=True):
    """By orders: it is paid for and put aside. The end."""

    order: str


class OrderCancelled(msgspec.Struct, frozen=True, tag=True):
    """By orders: it comes to nothing; what was paid is to be given back."""

    order: str
    reason: str


class StockReserved(msgspec.Struct, frozen=True, tag=True):
    """By orders' warehouse: it was put aside."""

    order: str


class StockRefused(msgspec.Struct, frozen=True, tag=True):
    """By orders' warehouse: there is not enough of it."""

    order: str
    reason: str


class PaymentTaken(msgspec.Struct, frozen=True, tag=True):
    """By payments: the money has left the account."""

    order: str
    account: str
    cents: int


class PaymentRefused(msgspec.Struct, frozen=True, tag=True):
    """By payments: the bank refuses."""

    order: str
    reason: str


class PaymentReturned(msgspec.Struct, frozen=True, tag=True):
    """By payments: the money is in the account again."""

    order: str
    cents: int


class ReturnRefused(msgspec.Struct, frozen=True, tag=True):
    """By payments: the account takes no money, so a person has to see to it."""

    order: str
    cents: int
    reason: str


class CustomerTold(msgspec.Struct, frozen=True, tag=True):
    """By notifications: the customer knows."""

    order: str
    text: str


OrderEvent = (
    OrderRequested
    | CancelRequested
    | OrderPlaced
    | OrderConfirmed
    | OrderCancelled
    | StockReserved
    | StockRefused
    | PaymentTaken
    | PaymentRefused
    | PaymentReturned
    | ReturnRefused
    | CustomerTold
)

OrderStatus = Literal["unknown", "requested", "placed", "paid", "confirmed", "cancelled", "returned", "stuck"]

#: What an event makes of an order; those that are not here leave it as it is.
_STATUS: dict[type, OrderStatus] = {
    OrderRequested: "requested",
    OrderPlaced: "placed",
    PaymentTaken: "paid",
    OrderConfirmed: "confirmed",
    OrderCancelled: "cancelled",
    PaymentReturned: "returned",
    ReturnRefused: "stuck",
}


class OrderView(msgspec.Struct, frozen=True):
    """An order as its customer sees it.

    cents: what it costs, 0 before that is known. told: what the customer was told, oldest first. ts: of the request, in
    seconds since the epoch.
    """

    status: OrderStatus = "unknown"
    account: str = ""
    product: str = ""
    quantity: int = 0
    cents: int = 0
    reason: str = ""
    told: list[str] = []
    ts: float = 0.0

    @property
    def ended(self) -> bool:
        """Whether the customer need not wait any more; what was paid may still be on its way back."""
        return self.status in ("confirmed", "cancelled", "returned", "stuck")

    def after(self, event: OrderEvent, ts: float) -> OrderView:
        """Return the order with one more event."""
        view = msgspec.structs.replace(self, status=_STATUS.get(type(event), self.status))
        match event:
            case OrderRequested() if self.ts:
                view = self  # asked again
            case PaymentTaken() if self.ended:
                view = self  # it was cancelled meanwhile, so the money goes back
            case OrderRequested(account=account, product=product, quantity=quantity):
                view = msgspec.structs.replace(view, account=account, product=product, quantity=quantity, ts=ts)
            case OrderPlaced(cents=cents):
                view = msgspec.structs.replace(view, cents=cents)
            case OrderCancelled(reason=reason) | ReturnRefused(reason=reason):
                view = msgspec.structs.replace(view, reason=reason)
            case CustomerTold(text=text):
                view = msgspec.structs.replace(view, told=[*self.told, text])
            case _:
                pass
        return view
