"""The accounts over HTTP: commands in, state, events and statements out.

    POST /accounts/{id}/open|deposit|withdraw|transfer|freeze|unfreeze|close     the command's fields as a JSON object
    GET  /accounts/{id}?at=…|version=…        the state now, at a time, or at a version
    GET  /accounts/{id}/statement?from=…&to=…      GET /accounts/{id}/events      GET /accounts

With the header Idempotency-Key, a command is done once, however often it is sent; `?expected_version=` refuses it when
somebody else was faster. A GET is answered by the worker that has the account, whichever is asked.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from uuid import uuid4

import msgspec

from app.bank import accounts, app
from app.models.ledger import AccountCommand, Close, Deposit, Freeze, Open, Transfer, Unfreeze, Withdraw
from app.pages.answers import answer, refusal
from app.statements import account_state, all_accounts, events_of, moment, statement
from app.tables.balances import balances
from pelton import CommandRejectedError, Request, Response, UnavailableError, VersionConflictError, View

__all__ = ["AccountCommands", "account_events", "account_now", "account_statement", "accounts_page"]

#: How long a command may take before the client is asked to try again.
TIMEOUT_S = 10

_COMMANDS: dict[str, msgspec.json.Decoder[AccountCommand]] = {
    kind.__name__.lower(): msgspec.json.Decoder(kind)
    for kind in (Open, Deposit, Withdraw, Transfer, Freeze, Unfreeze, Close)
}


@app.page("/accounts", name="accounts")
async def accounts_page(self: View, request: Request) -> Response:
    """Answer with the sums over all accounts, and the busiest ones; 503 when not all can be told now."""
    try:
        return answer(await all_accounts())
    except UnavailableError as error:
        return refusal(HTTPStatus.SERVICE_UNAVAILABLE, error.message)


@app.page("/accounts/{account}", name="account-state")
@app.table_route(table=balances, match_info="account")
async def account_now(self: View, request: Request, account: str) -> Response:
    """Answer with the state of an account, now, at a version or at a time."""
    version, at = request.query.get("version"), request.query.get("at")
    if version and at:
        return refusal(HTTPStatus.BAD_REQUEST, "expected a version or a time, got both", field="at")
    try:
        found = account_state(account, version=_number(version), at=moment(at) if at else None)
    except ValueError as error:
        return refusal(HTTPStatus.BAD_REQUEST, str(error), field="version" if version else "at")
    except UnavailableError as error:
        return refusal(HTTPStatus.SERVICE_UNAVAILABLE, error.message)
    return _unopened(account) if found is None else answer(found)


@app.page("/accounts/{account}/events", name="account-events")
@app.table_route(table=balances, match_info="account")
async def account_events(self: View, request: Request, account: str) -> Response:
    """Answer with the latest events of an account."""
    try:
        return answer({"account": account, "events": events_of(account)})
    except UnavailableError as error:
        return refusal(HTTPStatus.SERVICE_UNAVAILABLE, error.message)


@app.page("/accounts/{account}/statement", name="account-statement")
@app.table_route(table=balances, match_info="account")
async def account_statement(self: View, request: Request, account: str) -> Response:
    """Answer with what changed the balance between two times."""
    begin, end = request.query.get("from"), request.query.get("to")
    try:
        found = statement(account, moment(begin) if begin else None, moment(end) if end else None)
    except ValueError as error:
        return refusal(HTTPStatus.BAD_REQUEST, str(error))
    except UnavailableError as error:
        return refusal(HTTPStatus.SERVICE_UNAVAILABLE, error.message)
    return _unopened(account) if found is None else answer(found)


@app.page("/accounts/{account}/{command}", name="account-command")
class AccountCommands(View):
    """Takes the commands of an account."""

    async def post(self, request: Request, **named: Any) -> Response:
        """Answer 200 once the command is done for good, 409 when it is refused, 400 saying what is wrong with it."""
        account, kind = str(named["account"]), str(named["command"])
        if kind not in _COMMANDS:
            return refusal(HTTPStatus.NOT_FOUND, f"expected {', '.join(_COMMANDS)}, got {kind[:32]!r}")
        try:
            command = _COMMANDS[kind].decode(await request.read() or b"{}")
            expected = _number(request.query.get("expected_version"))
        except (ValueError, RecursionError) as error:
            return refusal(HTTPStatus.BAD_REQUEST, str(error))
        return await _execute(account, command, expected, request.headers.get("Idempotency-Key") or str(uuid4()))


async def _execute(account: str, command: AccountCommand, expected: int | None, client_id: str) -> Response:
    try:
        done = await accounts.execute(
            account,
            command,
            expected_version=expected,
            command_id=f"client:{client_id}",  # so that no client can take the id of a transfer's step
            timeout=TIMEOUT_S,
        )
    except VersionConflictError as error:
        details: dict[str, Any] = {"expected_version": error.expected, "version": error.found}
        return refusal(HTTPStatus.CONFLICT, error.message, **details)
    except CommandRejectedError as error:
        return refusal(HTTPStatus.CONFLICT, error.message)
    except TimeoutError:
        error_text = "no answer yet: send it again with this Idempotency-Key, and it is done once"
        return refusal(HTTPStatus.GATEWAY_TIMEOUT, error_text, id=client_id)
    except UnavailableError as error:
        return refusal(HTTPStatus.SERVICE_UNAVAILABLE, error.message)
    return answer({"account": account, "version": done.version, "repeated": done.repeated, "id": client_id})


def _unopened(account: str) -> Response:
    return refusal(HTTPStatus.NOT_FOUND, f"account {account[:64]!r} was not open")


def _number(text: str | None) -> int | None:
    """Return a version. Raises: ValueError."""
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise ValueError(f"expected a version, got {text[:32]!r}")
    return int(text)
