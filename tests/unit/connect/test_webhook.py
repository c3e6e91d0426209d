"""Webhooks: who is believed, what is refused, and that a delivery is taken once."""

from __future__ import annotations

import hmac
from base64 import b64encode
from hashlib import sha256
from typing import Any

import pytest

import pelton
from pelton.connect.contract import SourceRecord
from pelton.connect.webhook import Webhook
from pelton.errors import ConfigurationError
from pelton.testing import Driver

SECRET = "what-the-sender-and-we-know"
BODY = b'{"id":"evt_1","amount":5}'


def app_with(**options: Any) -> pelton.App:
    app = pelton.App("hooks", topic_partitions=2)
    events = app.topic("events", key_type=str, value_type=dict)
    app.source(Webhook("/hook", secret=SECRET, **options), events)
    return app


def standard(driver: Driver, *, delivery: str = "msg_1", at: float | None = None, body: bytes = BODY) -> dict[str, str]:
    time = str(int(driver.now if at is None else at))
    signed = hmac.new(SECRET.encode(), f"{delivery}.{time}.".encode() + body, sha256).digest()
    return {
        "webhook-id": delivery,
        "webhook-timestamp": time,
        "webhook-signature": f"v1,{b64encode(signed).decode()}",
        "Content-Type": "application/json",
    }


def values(driver: Driver) -> list[Any]:
    return [record.value for record in driver.read("events", again=True)]


def test_a_delivery_is_in_the_topic_once_however_often_it_is_sent() -> None:
    with Driver(app_with()) as driver:
        for _ in range(3):
            assert driver.request("POST", "/hook", body=BODY, headers=standard(driver)).status == 202
        assert driver.request("POST", "/hook", body=BODY, headers=standard(driver, delivery="msg_2")).status == 202
        assert values(driver) == [{"id": "evt_1", "amount": 5}] * 2
        (first, _) = driver.read("events")
        assert first.headers["pelton-webhook-id"] == b"msg_1"
        assert "webhook-signature" not in first.headers
        driver.crash()
        driver.lose_disk()
        driver.start()
        assert driver.request("POST", "/hook", body=BODY, headers=standard(driver)).status == 202
        assert len(values(driver)) == 2


@pytest.mark.parametrize(
    "spoil",
    [
        lambda headers: {**headers, "webhook-signature": "v1,AAAA"},
        lambda headers: {**headers, "webhook-signature": headers["webhook-signature"].replace("v1,", "v2,")},
        lambda headers: {**headers, "webhook-id": "msg_9"},
        lambda headers: {**headers, "webhook-timestamp": "soon"},
        lambda headers: {name: value for name, value in headers.items() if name != "webhook-signature"},
        lambda headers: {},
    ],
)
def test_a_delivery_that_is_not_signed_right_is_refused(spoil: Any) -> None:
    with Driver(app_with()) as driver:
        assert driver.request("POST", "/hook", body=BODY, headers=spoil(standard(driver))).status == 401
        assert driver.request("POST", "/hook", body=BODY + b" ", headers=standard(driver)).status == 401
        assert values(driver) == []


def test_a_delivery_outside_the_replay_window_is_refused() -> None:
    with Driver(app_with(within=60)) as driver:
        for seconds_off, status in ((-59, 202), (-62, 401), (62, 401)):
            headers = standard(driver, delivery=f"msg{seconds_off}", at=driver.now + seconds_off)
            assert driver.request("POST", "/hook", body=BODY, headers=headers).status == status
        headers = standard(driver)
        driver.advance(61)
        assert driver.request("POST", "/hook", body=BODY, headers=headers).status == 401


def test_what_is_too_large_and_what_is_no_post() -> None:
    with Driver(app_with(body_bytes_max=10)) as driver:
        assert driver.request("POST", "/hook", body=BODY, headers=standard(driver)).status == 413
        assert driver.request("GET", "/hook").status == 405
        assert values(driver) == []


def test_a_webhook_needs_no_token_of_ours_and_other_pages_do() -> None:
    app = pelton.App("hooks", web_token="a-token-of-twenty-and-more")
    app.source(Webhook("/hook", secret=SECRET), app.topic("events", value_type=dict))
    with Driver(app) as driver:
        assert driver.request("POST", "/hook", body=BODY, headers=standard(driver)).status == 202
        assert driver.request("GET", "/livez-or-not").status == 401


def test_the_kinds_of_signatures() -> None:
    now = 1_700_000_000.0
    stripe = Webhook("/s", secret=["an-old-secret-that-was", SECRET], scheme="stripe")
    digest = hmac.new(SECRET.encode(), b"1700000000." + BODY, sha256).hexdigest()
    assert stripe.verified({"Stripe-Signature": f"t=1700000000,v1=00,v1={digest}"}, BODY, now) == "evt_1"
    assert stripe.verified({"Stripe-Signature": f"t=1700000000,v0={digest}"}, BODY, now) is None
    assert stripe.verified({"Stripe-Signature": f"t=1700000000,v1={digest}"}, BODY, now + 301) is None
    github = Webhook("/g", secret=SECRET, scheme="github")
    digest = hmac.new(SECRET.encode(), BODY, sha256).hexdigest()
    headers = {"X-GitHub-Delivery": "a-guid", "X-Hub-Signature-256": f"sha256={digest}"}
    assert github.verified(headers, BODY, now) is not None
    assert github.verified(headers, b"other", now) is None
    assert github.verified({**headers, "X-Hub-Signature-256": "sha256=no hex"}, BODY, now) is None


def test_a_function_makes_what_is_sent_and_what_it_fails_on_is_kept() -> None:
    app = pelton.App("hooks", agent_retries_max=0)
    source = app.source(Webhook("/hook", secret=SECRET), app.topic("events", key_type=str, value_type=dict))

    @source
    def read(record: SourceRecord) -> SourceRecord | None:
        if record.value == b"nothing":
            return None
        return SourceRecord({"n": int(record.value)}, "ann")

    with Driver(app) as driver:
        for number, body in enumerate((b"1", b"nothing", b"broken", b"2")):
            headers = standard(driver, delivery=str(number), body=body)
            assert driver.request("POST", "/hook", body=body, headers=headers).status == 202
        assert [(record.key, record.value) for record in driver.read("events")] == [
            ("ann", {"n": 1}),
            ("ann", {"n": 2}),
        ]
        (letter,) = driver.dead_letters()
        assert letter.value == b"broken"


@pytest.mark.parametrize(
    ("path", "options", "said"),
    [
        ("hook", {"secret": SECRET}, "expected a path"),
        ("/hook", {"secret": "short"}, "fewer than 16"),
        ("/hook", {"secret": SECRET, "scheme": "none"}, "expected one of standard, stripe, github"),
        ("/hook", {"secret": "whsec_not base64 at all"}, "not base64"),
    ],
)
def test_what_cannot_be_a_webhook(path: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Webhook(path, **options)
