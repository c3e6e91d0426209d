"""`GET /customers`: customers' master data; `/customers/{account}` one of them."""

from __future__ import annotations

from http import HTTPStatus

from app.bank import app
from app.everywhere import rows_of, value_of
from app.pages.answers import answer, refusal
from app.tables.customers import customers
from pelton import Request, Response, UnavailableError, View

__all__ = ["customer_page", "customers_page"]


@app.page("/customers", name="customers")
async def customers_page(self: View, request: Request) -> Response:
    """Answer with all rows by account; 503 when not all can be told now."""
    try:
        return answer({"customers": dict(await rows_of(customers))})
    except UnavailableError as error:
        return refusal(HTTPStatus.SERVICE_UNAVAILABLE, error.message)


@app.page("/customers/{account}", name="customer")
async def customer_page(self: View, request: Request, account: str) -> Response:
    """Answer with a customer's row; 404 when the database has none, 503 when nobody can tell now."""
    try:
        row = await value_of(customers, account)
    except UnavailableError as error:
        return refusal(HTTPStatus.SERVICE_UNAVAILABLE, error.message)
    return refusal(HTTPStatus.NOT_FOUND, f"there is no customer {account[:64]!r}") if row is None else answer(row)
