"""A bank that a browser can look at: a real worker with a token, simulated payments, and records that mean harm."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from app.models import Review, Transaction
from pelton.batch import OutgoingBatch
from pelton.log.partitioner import partition_for
from tests.app.bank_process import Bank, opened

__all__ = ["HOSTILE", "PAYMENTS", "TOKEN", "Scene", "playing"]

TOKEN = "a-secret-of-the-tests-0123456789"
PAYMENTS = 2_000
START = 1_767_571_200.0

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

    async def harm(self) -> None:
        """Write payments and reviews whose every text is hostile, and records that cannot be decoded."""
        async with opened(self) as log:
            for topic, number, key, value in _records():
                batch = OutgoingBatch(topic, number, [key], [value], [int(time.time() * 1000)])
                await log.append([batch])


def _records() -> Iterator[tuple[str, int, bytes, bytes]]:
    """Yield topic, partition, key and value."""
    for index, text in enumerate(HOSTILE):
        key = text.encode()
        number = partition_for(key, 4)
        for again in range(6):  # so many in a minute are an alert
            payment = Transaction(
                f"{index}-{again}", text, text, 10.0 + again, text, "DE", "chip", START + index + again, mcc="5999"
            )
            yield "transactions", number, key, msgspec.json.encode(payment)
        yield "reviews", number, key, msgspec.json.encode(Review(f"r-{index}", text, text, START + index, 1))
        yield "transactions", number, key, f'{{"id": {text!r}, no JSON'.encode()


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
