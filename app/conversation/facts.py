"""The tools of a conversation: what may be looked up for a customer, each from a table.

A tool takes no argument, and is bound to the customer whose question it is before anybody has read that question. So
there is nothing in a text, whoever wrote it, that could make it read another customer's facts: `Facts` has no way to
name one. To add a tool, write a function of the account and put it into `TOOLS`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from app.bank import accounts
from app.llm import Tool
from app.tables import latest_payments, profiles
from app.tables.cases import account_cases

__all__ = ["TOOLS", "FactTool", "Facts"]

PAYMENTS_SHOWN = 5


class FactTool(NamedTuple):
    """description: for the model. words: those of a question that ask for it. read: the facts of an account.

    told: the same in a sentence, for answers without a model.
    """

    description: str
    words: frozenset[str]
    read: Callable[[str], dict[str, Any]]
    told: Callable[[Mapping[str, Any]], str]


class Facts:
    """What is known of one customer, looked up when it is asked for. looked_up: by which tools, in order."""

    def __init__(self, account: str, tools: Mapping[str, FactTool] | None = None) -> None:
        self._account = account
        self._tools = TOOLS if tools is None else tools
        self.looked_up: list[str] = []

    @property
    def offered(self) -> list[Tool]:
        """The tools as a model is told of them."""
        return [Tool(name, tool.description) for name, tool in self._tools.items()]

    def look_up(self, name: str) -> dict[str, Any]:
        """Return what a tool finds. Raises: KeyError when there is none of this name."""
        found = self._tools[name].read(self._account)
        self.looked_up.append(name)
        return found

    def told(self, name: str) -> str:
        """Return what a tool finds as a sentence."""
        return self._tools[name].told(self.look_up(name))

    def asked_for(self, words: set[str]) -> list[str]:
        """Return the tools that a question's words ask for."""
        return [name for name, tool in self._tools.items() if words & tool.words]


def _balance(account: str) -> dict[str, Any]:
    state = accounts.state(account)
    if state is None or state.status == "unopened":
        return {"status": "no account for cash and transfers"}
    return {"status": state.status, "balance": state.balance_cents / 100, "transfers_under_way": len(state.pending)}


def _tell_balance(facts: Mapping[str, Any]) -> str:
    if "balance" not in facts:
        return "You have no account for cash and transfers with us."
    return f"Your account is {facts['status']}; its balance is {facts['balance']:.2f} EUR."


def _spending(account: str) -> dict[str, Any]:
    profile = profiles[account]
    return {
        "payments": profile.payments,
        "usual_amount": round(profile.typical_amount, 2) if profile.payments else None,
        "countries": profile.countries,
    }


def _tell_spending(facts: Mapping[str, Any]) -> str:
    if not facts["payments"]:
        return "There are no payments with your card yet."
    countries = ", ".join(facts["countries"])
    return f"You made {facts['payments']} payments, usually about {facts['usual_amount']:.2f} EUR, in {countries}."


def _transactions(account: str) -> dict[str, Any]:
    latest = latest_payments[account].payments[-PAYMENTS_SHOWN:]
    return {
        "payments": [
            {"at": _when(one.ts), "amount": one.amount, "currency": one.currency, "merchant": one.merchant}
            for one in latest
        ]
    }


def _tell_transactions(facts: Mapping[str, Any]) -> str:
    if not facts["payments"]:
        return "There are no recent payments."
    rows = [f"{one['at']} UTC: {one['amount']:.2f} {one['currency']} at {one['merchant']}" for one in facts["payments"]]
    return "Your latest payments: " + "; ".join(rows) + "."


def _cases(account: str) -> dict[str, Any]:
    case = account_cases[account].latest
    if case is None:
        return {"case": None}
    return {
        "case": {
            "id": case.id,
            "reasons": [rule.replace("_", " ") for rule in case.rules],
            "payments": case.transactions[-PAYMENTS_SHOWN:],
            "opened": _when(case.opened),
            "last_suspicion": _when(case.updated),
        }
    }


def _tell_cases(facts: Mapping[str, Any]) -> str:
    case = facts["case"]
    if case is None:
        return "There is no case: none of your payments looked suspicious."
    reasons, payments = ", ".join(case["reasons"]), ", ".join(case["payments"])
    return (
        f"Your latest case was opened at {case['opened']} UTC, because of: {reasons}. It is about the payments "
        f"{payments}; the last of them looked suspicious at {case['last_suspicion']} UTC."
    )


def _when(ts: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(ts))


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


TOOLS: dict[str, FactTool] = {
    "balance": FactTool(
        "The balance of the customer's account, and whether it is open or frozen.",
        _words("balance frozen"),
        _balance,
        _tell_balance,
    ),
    "spending": FactTool(
        "How much the customer usually pays, how often, and in which countries.",
        _words("spend spending spent usual usually habits average"),
        _spending,
        _tell_spending,
    ),
    "last_transactions": FactTool(
        "The customer's latest card payments: when, how much, and where.",
        _words("transaction transactions payment payments paid bought purchase purchases latest recent last"),
        _transactions,
        _tell_transactions,
    ),
    "case_status": FactTool(
        "The latest case of the customer: why it was opened and when, and which payments it is about.",
        _words("case cases status suspicious alert alerts fraud investigation"),
        _cases,
        _tell_cases,
    ),
}
