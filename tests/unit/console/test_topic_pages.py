"""Pages and addresses of topics and dead letters, asked of a driven application."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

import pelton
from pelton.testing import Driver

TOKEN = "a-secret-of-the-tests-0123456789"
MARKUP = "<script>document.title='owned'</script>"


class Order(msgspec.Struct):
    item: str
    count: int


class Shop:
    """An application that packs orders, and dies of empty ones. token: that of its web server, or None."""

    def __init__(self, token: str | None) -> None:
        app = self.app = pelton.App("shop", web_token=token, topic_partitions=2)
        orders = self.orders = app.topic("orders", key_type=str, value_type=Order)
        packed = self.packed = app.topic("packed", key_type=str, value_type=str)

        sold = app.Table("sold", default=int, key_type=str)

        @app.agent(orders, name="pack", sink=[packed], retries=0)
        async def pack(stream: pelton.Stream[Order]) -> Any:
            async for key, order in stream.items():
                if order.count < 1:
                    raise ValueError(f"no {order.item}")
                sold[key] += order.count
                yield order.item

        self.driver = Driver(app)
        self.headers = {} if token is None else {"Authorization": f"Bearer {token}"}

    def get(self, path: str) -> Any:
        return self.driver.request("GET", path, headers=self.headers)

    def post(self, path: str, **request: Any) -> Any:
        return self.driver.request("POST", path, json=request, headers=self.headers)


@pytest.fixture
def shop() -> Iterator[Shop]:
    made = Shop(TOKEN)
    with made.driver:
        yield made


def test_whatever_a_record_holds_is_text_in_a_page(shop: Shop) -> None:
    shop.driver.send(shop.orders, MARKUP, Order(MARKUP, 0))
    shop.driver.settle()
    (letter,) = shop.driver.dead_letters()
    paths = ["/topics", "/topics/orders", f"/topics/orders/{letter.partition}/{letter.offset}"]
    paths += ["/dlq", f"/dlq/{letter.number}", "/topics/nowhere", "/topics/orders/9/0", "/dlq/x"]
    for path in paths:
        page = shop.get(path)
        assert page.status == (200 if path in paths[:5] else 400 if path == "/dlq/x" else 404), path
        assert "<script>document" not in page.text
        assert "'unsafe-inline'" not in page.headers["Content-Security-Policy"]
    assert "&lt;script&gt;document" in shop.get(paths[2]).text
    assert "no &lt;script&gt;" in shop.get("/dlq").text


def test_a_record_leads_to_what_tables_keep_of_its_key(shop: Shop) -> None:
    shop.driver.send(shop.orders, "a/b", Order("pen", 1), partition=0)
    shop.driver.settle()
    assert 'href="/tables/sold/a%2Fb"' in shop.get("/topics/orders/0/0").text


def test_a_value_is_given_as_a_file_that_no_browser_shows(shop: Shop) -> None:
    shop.post("/api/topics/orders/records", key="a", value=json.dumps({"item": MARKUP, "count": 1}), partition=1)
    value = shop.get("/api/topics/orders/1/0/value")
    assert json.loads(value.body)["item"] == MARKUP
    assert value.headers["Content-Type"] == "application/octet-stream"
    assert value.headers["Content-Disposition"].startswith("attachment")
    assert value.headers["X-Content-Type-Options"] == "nosniff"


def test_what_is_written_is_processed(shop: Shop) -> None:
    written = shop.post("/api/topics/orders/records", key="a", value='{"item":"pen","count":1}')
    assert written.status == 201
    shop.driver.settle()
    assert [record.value for record in shop.driver.read(shop.packed)] == ["pen"]
    refused = shop.post("/api/topics/orders/records", value='{"item":"pen"}')
    assert (refused.status, "count" in refused.json()["error"]) == (400, True)


def test_an_edited_letter_is_processed(shop: Shop) -> None:
    shop.driver.send(shop.orders, "a", Order("pen", 0))
    shop.driver.settle()
    (letter,) = shop.driver.dead_letters()
    edit = {"value": {"text": '{"item":"pen","count":1}'}}
    settled = shop.post("/api/dlq/replay", numbers=[str(letter.number)], edit=edit)
    assert (settled.status, settled.json()["settled"]) == (200, 1)
    shop.driver.settle()
    assert [record.value for record in shop.driver.read(shop.packed)] == ["pen"]
    again = shop.post("/api/dlq/discard", numbers=[str(letter.number)], reason="late")
    assert [one["how"] for one in again.json()["before"]] == ["replayed"]


def test_without_a_token_nothing_can_be_changed() -> None:
    shop = Shop(None)
    with shop.driver:
        for path in ("/api/topics/orders/records", "/api/dlq/replay", "/api/dlq/discard"):
            answer = shop.post(path, key="a", value='{"item":"pen","count":1}')
            assert (answer.status, answer.json()["error"]) == (403, "the web view is read-only without a token")
        assert shop.driver.read(shop.orders) == []
        assert "read-only without a token" in shop.get("/topics/orders").text
