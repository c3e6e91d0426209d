"""What `/api/` answers for tables of every kind: addresses of keys, changelogs, places, sizes, files and statements."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

import pelton
from pelton.errors import ConfigurationError, UnavailableError
from pelton.shell.serving import serve_tables, table_api
from pelton.testing import Driver
from pelton.web.api import TableApi, refusal

NOON = 1_750_000_020.0


class Owner(msgspec.Struct, frozen=True):
    name: str


class Account(msgspec.Struct, rename="camel", frozen=True):
    account_key: str
    balance: int = 0
    opened: datetime | None = None
    owner: Owner | None = None
    tags: list[str] = []


@dataclass
class Spent:
    account: Any
    amount: int
    at: float


class Bank:
    """An application with tables of every kind of key, and its driver."""

    def __init__(self, partitions: int = 4) -> None:
        self.app = app = pelton.App("pages", topic_partitions=partitions)
        spent = app.topic("spent", value_type=Spent, partitions=partitions)
        self.accounts = app.Table("accounts", key_type=str, value_type=Account, partitions=partitions)
        self.balances = app.Table(
            "balances", default=int, key_type=str, partitions=partitions, history=timedelta(days=1), time="at"
        )
        self.texts = texts = app.Table(
            "texts", default=str, key_type=str, partitions=partitions, history=timedelta(days=1), time="at"
        )
        self.minutes = app.Table("minutes", default=int, key_type=str, partitions=partitions).tumbling(60)
        self.lists = app.Table("lists", default=int, partitions=partitions)
        self.raw = app.Table("raw", default=int, key_type=bytes, partitions=partitions)
        self.strays = app.Table("strays", default=int, key_type=str, partitions=partitions)
        accounts, balances, lists, raw, strays = self.accounts, self.balances, self.lists, self.raw, self.strays
        minutes = self.minutes.relative_to_field("at")

        @app.agent(spent)
        async def collect(stream: pelton.Stream[Spent]) -> None:
            async for one in stream:
                if isinstance(one.account, str):
                    balances[one.account] += one.amount
                    if balances[one.account] == 0:
                        del balances[one.account]
                    minutes[one.account] += one.amount
                    opened = datetime.fromtimestamp(one.at, UTC)
                    accounts[one.account] = Account(one.account, one.amount, opened, Owner("Ann"), ["=1+1"])
                    raw[one.account.encode("utf-16")] += one.amount
                    strays["all"] += 1
                    texts[one.account] = "x" * one.amount
                key = tuple(one.account) if isinstance(one.account, list) else one.account
                lists[key] += one.amount

        self.spent = spent
        serve_tables(app)


@pytest.fixture
def bank() -> Bank:
    return Bank()


@pytest.fixture
def driver(bank: Bank) -> Iterator[Driver]:
    with Driver(bank.app) as driver:
        yield driver


def spend(driver: Driver, bank: Bank, *accounts: Any, amount: int = 5, at: float = NOON) -> None:
    for account in accounts:
        key = account if isinstance(account, str) else json.dumps(account, separators=(",", ":"))
        driver.send(bank.spent, key=key, value=Spent(account, amount, at))


def told(driver: Driver, path: str, status: int = 200) -> Any:
    answer = driver.request("GET", path)
    assert answer.status == status, (answer.status, answer.body)
    return answer.json()


def below(href: str, page: str) -> str:
    path, question, query = href.partition("?")
    return f"{path}/{page}{question}{query}"


async def whole(api: TableApi, name: str, query: dict[str, str]) -> bytes:
    file = await api.export(name, query)
    return file.content.first + b"".join([piece async for piece in file.content.rest])


HOSTILE = ["alice", "a/b", "..", ".", "", " ", "%2F", "ü/☃", '"quoted"', "<script>alert(1)</script>", "a?b=c#d"]
HOSTILE += ["\n\t\0", "{x}", "a\\b", "42", "null", "-", "a&keys=json", "=1+1"]
VALUES = [1, -2.5, None, True, ["a", 1], {"a": {"b": "/"}}]


def test_every_row_says_where_its_key_is_asked_for(driver: Driver, bank: Bank) -> None:
    spend(driver, bank, *HOSTILE, *VALUES)
    for table, count in {"balances": len(HOSTILE), "lists": len(HOSTILE) + len(VALUES), "raw": len(HOSTILE)}.items():
        rows = told(driver, f"/api/tables/{table}")["rows"]
        assert len(rows) == count
        for row in rows:
            answer = told(driver, row["href"])
            assert (answer["key"], answer["value"], answer["source"]["partition"]) == (row["key"], 5, row["partition"])
            changes = told(driver, below(row["href"], "changelog"))
            assert [one["value"] for one in changes["changes"]] == [5], row


def test_a_row_that_lies_elsewhere_than_its_key_is_found_where_it_lies(driver: Driver, bank: Bank) -> None:
    spend(driver, bank, *(f"account-{number}" for number in range(40)))
    rows = told(driver, "/api/tables/strays")["rows"]
    assert [row["key"] for row in rows] == ["all"] * 4
    answers = [told(driver, row["href"]) for row in rows]
    assert [answer["value"] for answer in answers] == [row["value"] for row in rows]
    assert sorted(answer["source"]["partition"] for answer in answers) == [0, 1, 2, 3]
    assert "no partition 4" in told(driver, "/api/tables/strays/all?partition=4", 400)["error"]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("balances/alice?keys=json", "not text in JSON"),
        ("balances/5?keys=json", "not text in JSON"),
        ("lists/alice?keys=json", "no key like"),
        ("balances/YQ?keys=stored", "without a partition"),
        ("balances/Y!?keys=stored&partition=0", "base64url"),
        ("balances/a?keys=other", "table, json or stored"),
        ("balances/a?partition=x", "partition="),
        ("balances/a/changelog?before=-1", "before="),
        ("balances/a/places?at=1", "no parameter"),
    ],
)
def test_an_address_that_means_no_key_is_refused(driver: Driver, path: str, words: str) -> None:
    assert words in told(driver, f"/api/tables/{path}", 400)["error"]


def test_the_columns_of_values_are_told_as_json_names_them(driver: Driver) -> None:
    tables = {one["name"]: one for one in told(driver, "/api/tables")["tables"]}
    assert {one["name"]: one["type"] for one in tables["accounts"]["columns"]} == {
        "accountKey": "text", "balance": "integer", "opened": "time", "owner": "nested", "tags": "nested",
    }  # fmt: skip
    assert (tables["balances"]["columns"], tables["balances"]["value_type"]) == (None, "any")
    assert [tables[name]["key_type"] for name in ("balances", "lists", "raw")] == ["text", "any", "text"]


def test_the_changelog_of_a_key_is_told_newest_first_in_pieces(driver: Driver, bank: Bank) -> None:
    for amount in range(1, 6):
        spend(driver, bank, "alice", amount=amount, at=NOON + 60 * amount)
        spend(driver, bank, "bob", amount=amount)
    first = told(driver, "/api/tables/balances/alice/changelog?limit=2")
    assert [one["value"] for one in first["changes"]] == [15, 10]
    rest = told(driver, f"/api/tables/balances/alice/changelog?before={first['next']}")
    assert [one["value"] for one in rest["changes"]] == [6, 3, 1]
    assert (rest["next"], rest["searched"]["to"]) == (None, first["next"])
    windows = told(driver, "/api/tables/minutes/alice/changelog")["changes"]
    assert [(one["start_ms"], one["value"]) for one in windows] == [
        (int(NOON + 60 * n) * 1000, n) for n in (5, 4, 3, 2, 1)
    ]
    assert told(driver, "/api/tables/balances/nobody/changelog")["changes"] == []


def test_a_time_in_which_a_key_has_no_window_is_an_answer(driver: Driver, bank: Bank) -> None:
    spend(driver, bank, "alice", at=NOON)
    path = "/api/tables/minutes/alice"
    empty = told(driver, f"{path}?since={NOON + 60}")
    assert (empty["windows"], empty["more"], empty["key"], empty["source"]["role"]) == ([], False, "alice", "owner")
    assert told(driver, f"{path}?until={NOON}")["windows"] == []
    assert [one["start_ms"] for one in told(driver, f"{path}?until={NOON + 1}")["windows"]] == [int(NOON) * 1000]
    assert "no such key" in told(driver, "/api/tables/minutes/nobody", 404)["error"]


@pytest.mark.parametrize("page", ["balances/nobody", "minutes/nobody", "balances/nobody/versions"])
def test_who_says_so_is_answered_that_nothing_is_there(driver: Driver, page: str) -> None:
    path = f"/api/tables/{page}"
    assert "no such key" in told(driver, path, 404)["error"]
    answer = told(driver, f"{path}?absent=allow")
    assert (answer["key"], answer["source"]["role"]) == ("nobody", "owner")
    assert "value" not in answer
    assert not answer.get("windows")
    assert not answer.get("versions")
    assert "absent" in told(driver, f"{path}?absent=so", 400)["error"]


def test_sizes_and_places_say_where_a_table_lies_without_reading_it(driver: Driver, bank: Bank) -> None:
    spend(driver, bank, *(f"account-{number}" for number in range(20)))
    sizes = {one["name"]: one for one in told(driver, "/api/sizes")["tables"]}
    assert sum(one["keys"] for one in sizes["balances"]["partitions"]) == 20
    assert all(one["bytes"] > 0 and one["role"] == "owner" for one in sizes["balances"]["partitions"])
    places = told(driver, "/api/tables/minutes/account-1/places")
    (place,) = places["places"]
    assert (place["role"], place["partition"], place["latest_ms"]) == ("owner", places["partition"], int(NOON) * 1000)


def test_a_file_has_all_rows_and_nothing_that_a_spreadsheet_would_run(driver: Driver, bank: Bank) -> None:
    spend(driver, bank, *HOSTILE)
    api = table_api(bank.app)
    written = driver.run(whole(api, "accounts", {"format": "csv"})).decode()
    rows = list(csv.DictReader(written.splitlines(keepends=True)))
    assert len(rows) == len(HOSTILE)
    found = {row["accountKey"]: row for row in rows}
    assert found["'=1+1"]["key"] == "'=1+1"
    assert not [cell for row in rows for cell in row.values() if cell.startswith(("=", "@", "+", "\n"))]
    alice = found["alice"]
    assert (alice["balance"], alice["owner"], alice["tags"]) == ("5", '{"name":"Ann"}', '["=1+1"]')
    lines = driver.run(whole(api, "accounts", {"format": "ndjson", "prefix": "a"})).splitlines()
    assert [json.loads(line)["key"] for line in lines] == ["a&keys=json", "a/b", "a?b=c#d", "a\\b", "alice"]
    assert json.loads(lines[-1])["value"]["owner"] == {"name": "Ann"}
    nothing = driver.run(whole(api, "minutes", {"format": "csv", "since": str(NOON + 3600)}))
    assert nothing == b"key,partition,window_start,window_end,value,undecodable\r\n"


def test_who_cannot_be_answered_now_is_told_when_to_ask_again() -> None:
    reply = refusal(UnavailableError("partition 3 has no owner at the moment"))
    assert (reply.status, int(reply.headers["Retry-After"]) > 0) == (503, True)
    assert "Retry-After" not in refusal(ConfigurationError("no such page")).headers


def paid_by(driver: Driver, path: str) -> dict[str, tuple[Any, Any, str]]:
    """Return key -> (then, now, change), of all pages."""
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = told(driver, f"{path}{cursor}")
        assert page["complete"]
        found += page["rows"]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    keys = [row["key"] for row in found]
    assert len(set(keys)) == len(keys), "a key is on one page"
    assert keys == sorted(keys), "pages are in order"
    return {row["key"]: (row.get("value"), row.get("now"), row["change"]) for row in found}


@pytest.mark.parametrize("limit", [1, 2, 7, 100])
def test_rows_of_the_past_are_told_beside_those_of_now(driver: Driver, bank: Bank, limit: int) -> None:
    names = [f"account-{number:02}" for number in range(30)]
    spend(driver, bank, *names[:20], amount=5, at=NOON)
    spend(driver, bank, *names[10:], amount=2, at=NOON + 60)
    path = f"/api/tables/balances?at={NOON + 30}&compare=now&limit={limit}"
    expected = {
        **dict.fromkeys(names[:10], (5, 5, "same")),
        **dict.fromkeys(names[10:20], (5, 7, "changed")),
        **dict.fromkeys(names[20:], (None, 2, "added")),
    }
    assert paid_by(driver, path) == expected
    of_some = paid_by(driver, f"{path}&prefix=account-1")
    assert of_some == {name: told for name, told in expected.items() if name.startswith("account-1")}
    spend(driver, bank, *names[:3], amount=-5, at=NOON + 90)
    assert {
        name: change for name, (_, _, change) in paid_by(driver, path).items() if change == "removed"
    } == dict.fromkeys(names[:3], "removed")


def test_rows_are_compared_though_those_of_now_are_too_large_for_one_page(driver: Driver, bank: Bank) -> None:
    names = [f"account-{number:02}" for number in range(40)]
    spend(driver, bank, *names, amount=1, at=NOON)
    for name in names:
        spend(driver, bank, name, amount=300_000, at=NOON + 60)
    path = f"/api/tables/texts?at={NOON + 30}&compare=now"
    assert told(driver, path)["next"] is not None, "12 MB are several pages"
    changes = {name: (then, len(now), change) for name, (then, now, change) in paid_by(driver, path).items()}
    assert changes == dict.fromkeys(names, ("x", 300_000, "changed"))


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("compare=now", "compare="),
        ("compare=then&at=1", "now or never"),
        ("compare=now&at=1&partial=allow", "partial="),
    ],
)
def test_a_comparison_that_would_not_be_true_is_refused(driver: Driver, query: str, words: str) -> None:
    assert words in told(driver, f"/api/tables/balances?{query}", 400)["error"]


def test_how_far_a_history_reaches_is_told_with_the_sizes(driver: Driver, bank: Bank) -> None:
    assert told(driver, "/api/sizes?table=balances")["tables"][0]["partitions"][0]["past"] is None
    spend(driver, bank, *(f"account-{number}" for number in range(20)), at=NOON)
    spend(driver, bank, *(f"account-{number}" for number in range(20)), at=NOON + 60)
    (table,) = told(driver, "/api/sizes?table=balances")["tables"]
    day_ms, noon_ms = 86_400_000, int(NOON) * 1000
    for past in (one["past"] for one in table["partitions"]):
        assert (past["oldest_ms"], past["latest_ms"]) == (noon_ms + 60_000 - day_ms, noon_ms + 60_000)
        assert past["oldest_ms"] <= past["first_ms"] <= noon_ms + 60_000
        assert noon_ms - past["first_ms"] < day_ms / 8, "a slider over the past need not begin a day before"
    (place,) = told(driver, "/api/tables/balances/account-1/places")["places"]
    assert place["past"]["latest_ms"] == noon_ms + 60_000
    assert told(driver, "/api/sizes?table=minutes")["tables"][0]["partitions"][0]["past"] is None
    assert "no table" in told(driver, "/api/sizes?table=nothing", 404)["error"]
