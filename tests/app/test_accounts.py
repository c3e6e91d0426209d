"""Accounts, driven: commands over HTTP, any commands with crashes in between, and what pages tell of it."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from app import app
from app.bank import accounts
from app.models.ledger import (
    Account,
    AccountCommand,
    Close,
    Deposit,
    Freeze,
    Open,
    Transfer,
    TransferRefused,
    Unfreeze,
    Withdraw,
)
from app.simulation import requests
from app.tables.balances import balances
from pelton.testing import Driver
from tests.app.ledger_check import Ledger, check_settled, ledger_of

NAMES = ["ann", "bob", "cy", "dee"]
#: One that nobody opens.
NOBODY = "nobody"

cents = st.integers(1, 120)
commands = st.one_of(
    st.builds(Open, st.just("somebody")),
    st.builds(Deposit, cents),
    st.builds(Withdraw, cents),
    st.builds(Transfer, st.sampled_from([*NAMES, NOBODY]), cents),
    st.builds(Transfer, st.sampled_from([*NAMES, NOBODY]), cents),
    st.just(Freeze()),
    st.just(Unfreeze()),
    st.just(Close()),
)
#: Commands, how many turns the worker then has before it dies (None: all that it needs), whether its disk is lost.
lives = st.lists(
    st.tuples(
        st.lists(st.tuples(st.sampled_from(NAMES), commands), max_size=12),
        st.none() | st.integers(0, 60),
        st.booleans(),
    ),
    min_size=1,
    max_size=4,
)


def ledger_in(driver: Driver) -> Ledger:
    return ledger_of((record.key, record.value) for record in driver.read(accounts.events, again=True))


def check_views(driver: Driver, ledger: Ledger) -> None:
    """Entities, read model and pages tell the same as the events."""
    for name, balance in ledger.balances.items():
        state = accounts.state(name)
        assert state is not None
        assert (state.balance_cents, state.pending) == (balance, {})
        assert (balances[name].balance_cents, balances[name].status) == (balance, state.status)
        assert balances[name].version == accounts.version(name)
    totals = driver.request("GET", "/accounts").json()["totals"]
    assert (totals["balance_cents"], totals["under_way_cents"]) == (ledger.cash, 0)


@settings(deadline=None, max_examples=25)
@given(lives)
def test_money_is_conserved_wherever_the_worker_dies(
    lives: list[tuple[list[tuple[str, AccountCommand]], int | None, bool]],
) -> None:
    with Driver(app) as driver:
        driver.send_many(accounts.commands, [(name, Open(name)) for name in NAMES])
        driver.send_many(accounts.commands, [(name, Deposit(100)) for name in NAMES])
        for sent, turns, lost in lives:
            driver.send_many(accounts.commands, sent, settle=turns is None)
            if turns is not None:
                driver.crash(after=turns)
                ledger_in(driver)  # what was committed is consistent, however far it had come
                if lost:
                    driver.lose_disk()
                driver.start()
        ledger = ledger_in(driver)
        check_settled(ledger)
        check_views(driver, ledger)


def test_what_customers_ask_is_accepted_but_for_transfers_to_frozen_accounts() -> None:
    asked = [one for one, _ in zip(requests(seed=7, accounts=20), range(1_000), strict=False)]
    assert asked == [one for one, _ in zip(requests(seed=7, accounts=20), range(1_000), strict=False)]
    with Driver(app) as driver:
        driver.send_many(accounts.commands, [(one.account, one.command) for one in asked])
        ledger = ledger_in(driver)
        check_settled(ledger)
        check_views(driver, ledger)
        assert driver.dead_letters() == []
        assert ledger.events.total() == len(asked) + 2 * ledger.events["TransferSent"]
        assert ledger.events["TransferReturned"] > 0


class Client:
    """Somebody who uses the accounts over HTTP."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver

    def post(self, path: str, key: str | None = None, **fields: Any) -> tuple[int, dict[str, Any]]:
        headers = {"Content-Type": "application/json"} | ({} if key is None else {"Idempotency-Key": key})
        done = self.driver.request("POST", path, body=msgspec.json.encode(fields), headers=headers)
        return done.status, done.json()

    def get(self, path: str) -> tuple[int, dict[str, Any]]:
        found = self.driver.request("GET", path)
        return found.status, found.json()


def test_commands_over_http_are_done_once_and_refused_with_a_reason() -> None:
    with Driver(app) as driver:
        client = Client(driver)
        assert client.post("/accounts/ann/open", owner="Ann")[0] == 200
        assert client.post("/accounts/bob/open", owner="Bob")[0] == 200
        assert client.post("/accounts/ann/open", owner="Ann") == (409, {"error": "the account is open"})
        for repeated in (False, True):
            status, done = client.post("/accounts/ann/deposit", key="k1", amount_cents=50_00)
            assert (status, done["version"], done["repeated"]) == (200, 2, repeated)
        status, refused = client.post("/accounts/ann/withdraw", amount_cents=50_01)
        assert (status, refused["error"]) == (409, "insufficient funds: 50.01 EUR asked, 50.00 EUR available")
        status, refused = client.post("/accounts/ann/transfer?expected_version=1", to="bob", amount_cents=1)
        assert (status, refused["expected_version"], refused["version"]) == (409, 1, 2)
        status, refused = client.post("/accounts/ann/deposit", amount_cents=-1)
        assert (status, "$.amount_cents" in refused["error"]) == (400, True)
        for path in ("/accounts/ann/receive", "/accounts/ann/return", "/accounts/ann/nonsense"):
            assert client.post(path, sender="bob", number=1, amount_cents=10)[0] == 404
        assert client.get("/accounts/ann")[1]["balance_cents"] == 50_00
        assert driver.dead_letters() == []


def test_a_transfer_arrives_or_comes_back() -> None:
    with Driver(app) as driver:
        client = Client(driver)
        for name in ("ann", "bob"):
            client.post(f"/accounts/{name}/open", owner=name)
        client.post("/accounts/ann/deposit", amount_cents=100)
        client.post("/accounts/ann/transfer", key="settle:2", to="bob", amount_cents=30)
        client.post("/accounts/bob/freeze", reason="stolen")
        client.post("/accounts/ann/transfer", key="return:2", to="bob", amount_cents=20)
        client.post("/accounts/ann/transfer", to=NOBODY, amount_cents=10)
        driver.settle()
        assert (accounts["ann"].balance_cents, accounts["bob"].balance_cents) == (70, 30)
        refusals = [one.event for one in accounts.recorded("bob") if isinstance(one.event, TransferRefused)]
        assert refusals == [TransferRefused("ann", 2, 20, "the account is frozen")]
        assert client.get(f"/accounts/{NOBODY}")[0] == 404
        assert client.post("/accounts/ann/close")[0] == 409
        client.post("/accounts/ann/withdraw", amount_cents=70)
        assert client.post("/accounts/ann/close")[0] == 200
        assert client.post("/accounts/ann/deposit", amount_cents=1) == (409, {"error": "the account is closed"})


def test_the_past_is_told_by_version_and_by_time() -> None:
    with Driver(app, start=1_767_571_200) as driver:
        client = Client(driver)
        client.post("/accounts/ann/open", owner="Ann")
        for hour in range(1, 5):
            driver.advance(3600)
            client.post("/accounts/ann/deposit", amount_cents=10 * hour)
        assert client.get("/accounts/ann?version=3")[1]["balance_cents"] == 30
        assert client.get("/accounts/ann?at=2026-01-05T03:59:00")[1]["balance_cents"] == 60
        assert client.get(f"/accounts/ann?at={1_767_571_200 + 7200}")[1]["balance_cents"] == 30
        assert client.get("/accounts/ann?at=2026-01-04")[0] == 404
        assert client.get("/accounts/ann?version=0")[0] == 404
        for wrong in ("at=yesterday", "at=1e300", "at=nan", "version=-1", "version=1&at=5"):
            assert client.get(f"/accounts/ann?{wrong}")[0] == 400

        statement = client.get("/accounts/ann/statement?from=2026-01-05T02:00:00&to=2026-01-05T04:00:00")[1]
        assert (statement["opening_cents"], statement["closing_cents"]) == (10, 60)
        assert [(line["change_cents"], line["balance_cents"]) for line in statement["lines"]] == [(20, 30), (30, 60)]
        assert client.get("/accounts/ann/statement")[1]["closing_cents"] == 100
        assert client.get("/accounts/ann/statement?from=then")[0] == 400
        assert client.get("/accounts/bob/statement")[0] == 404
        events = client.get("/accounts/ann/events")[1]["events"]
        assert [one["balance_cents"] for one in events] == [0, 10, 30, 60, 100]
        assert accounts.state("ann", version=5) == Account("open", "Ann", 100)
