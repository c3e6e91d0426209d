"""A bank that a browser can look at: a real worker with a token, simulated payments, and records that mean harm."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path

import msgspec

from app.models import Question, RawLine, Reading, Review, Transaction
from app.models.order import CustomerTold, OrderCancelled, OrderEvent, OrderRequested
from app.models.training import Consent, Rating
from pelton.batch import OutgoingBatch
from pelton.log.partitioner import partition_for
from tests.app.bank_process import Bank, opened

__all__ = ["HOSTILE", "PAYMENTS", "START", "TOKEN", "Scene", "playing"]

TOKEN = "a-secret-of-the-tests-0123456789"
PAYMENTS = 2_000
START = 1_767_571_200.0
#: Topic, key and value.
_Record = tuple[str, bytes, bytes]

#: Keys and values that become markup, script or an address where somebody forgets to escape them. None has more than
#: 64 characters, so each can be an account's name.
HOSTILE = (
    "<script>document.title='owned'</script>",
    '"><img src=x onerror="document.title=\'owned\'">',
    "'><svg/onload=\"document.title='owned'\">",
    "javascript:document.title='owned'//",
    "</textarea></title><script>document.title='owned'</script>",
    "{{7*7}}${7*7}<%=7*7%>&lt;b&gt;",
    "\u202eevil\u0000\u2028/../..%2f?a=1&b=2#c",
)


class Scene(Bank):
    """The bank's worker as browsers reach it."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.headers = {"Authorization": f"Bearer {TOKEN}"}

    @property
    def environment(self) -> dict[str, str]:
        return super().environment | {"PELTON_WEB_TOKEN": TOKEN}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def harm(self, start: float = START) -> None:
        """Write payments and reviews whose every text is hostile, and records that cannot be decoded.

        start: of the payments. Behind all others by more than what windows keep, they raise no alert.
        """
        await self._write(_records(start))

    async def harm_the_rest(self, start: float) -> None:
        """Write to every other use of the bank what is as hostile: lines, readings, questions, orders, owners.

        start: of reviews, of eight hours.
        """
        await self._write(_other_records(start))
        for index, text in enumerate(HOSTILE):
            status, told = await self.post(f"/accounts/harm-{index}/open", msgspec.json.encode({"owner": text}))
            assert status == HTTPStatus.OK, told

    async def _write(self, records: Iterable[_Record]) -> None:
        async with opened(self) as log:
            for topic, key, value in records:
                number = partition_for(key, 4)
                await log.append([OutgoingBatch(topic, number, [key], [value], [int(time.time() * 1000)])])


def _other_records(start: float) -> Iterator[_Record]:
    now = time.time()
    for index, text in enumerate(HOSTILE):
        key, order = text.encode(), f"harm-{index}"
        line = {"service": text, "level": "error", "message": f"{text} {text}", "host": text, text: text}
        for value in (msgspec.json.encode(line).decode(), f"2026-01-05T00:00:00Z ERROR {text}"):
            yield "raw-logs", key, msgspec.json.encode(RawLine(value))
        for again in range(3):
            reading = Reading(text, now + again, {text: 1.0 + again, "load": 1e9 * again})
            yield "readings", key, msgspec.json.encode(reading)
        for hours in (0, 4, 8):  # an hour is told of when a later one has come
            review = Review(f"{order}-{hours}", text, text, start + 3_600 * hours + index, 1)
            yield "reviews", key, msgspec.json.encode(review)
        yield "questions", key, msgspec.json.encode(Question(f"{order}-question", text, text, now))
        yield "conversation-events", key, msgspec.json.encode(Consent(text, True, now))
        rating = Rating(text, f"{order}-question", False, now, text)
        yield "conversation-events", key, msgspec.json.encode(rating)
        events: tuple[OrderEvent, ...] = (
            OrderRequested(order, text, text),
            CustomerTold(order, text),
            OrderCancelled(order, text),
        )
        for event in events:
            yield "order-events", order.encode(), msgspec.json.encode(event)


def _records(start: float) -> Iterator[_Record]:
    for index, text in enumerate(HOSTILE):
        key = text.encode()
        for again in range(6):  # so many in a minute are an alert, unless the minute is long over
            payment = Transaction(
                f"{index}-{again}", text, text, 10.0 + again, text, "DE", "chip", start + index + again, mcc="5999"
            )
            yield "transactions", key, msgspec.json.encode(payment)
        yield "reviews", key, msgspec.json.encode(Review(f"r-{index}", text, text, start + index, 1))
        yield "transactions", key, f'{{"id": {text!r}, no JSON'.encode()


@asynccontextmanager
async def playing(directory: Path, *, harmless: bool = False) -> AsyncIterator[Scene]:
    """Run the worker, with all records processed, until the tests have looked. harmless: without hostile records."""
    scene = Scene(directory)
    scene.start()
    try:
        await scene.until_answer("/readyz", lambda told: told["ready"])
        words = ("simulate", "--rate", "0", "--accounts", "100", "--count", str(PAYMENTS), "--requests", "0")
        await asyncio.to_thread(scene.command, *words)
        if not harmless:
            await scene.harm()
        await scene.until_idle(PAYMENTS)
        yield scene
    finally:
        scene.stop()
