"""A bank of its own for the application's pages: with a language model, the shop's services, and nothing in it yet."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest
import pytest_asyncio
from aiohttp import web

from app.conversation.answering import RULES as ANSWERING
from app.services import SERVICES
from pelton.batch import OutgoingBatch
from pelton.log.partitioner import partition_for
from tests.app.bank_process import opened
from tests.app.llm.model_server import ModelServer, Request, Say, serving
from tests.browser.scene import Scene

#: What a test has happen: topic, key, value, and the record's own time in seconds, now if it is None.
Told = tuple[str, str, msgspec.Struct, float | None]

#: What the model says of a text that it is to score, and of one that calls something awful.
WELL = {"label": "positive", "score": 0.7, "aspects": [{"aspect": "app", "score": 0.7}]}
BADLY = {"label": "negative", "score": -0.8, "aspects": [{"aspect": "fees", "score": -0.9}]}


class Application(Scene):
    """The bank as the tests here use it. model: where it asks."""

    def __init__(self, directory: Path, model: ModelServer) -> None:
        super().__init__(directory)
        self.model = model

    @property
    def environment(self) -> dict[str, str]:
        return super().environment | {
            "OPENAI_API_KEY": "k",
            "OPENAI_BASE_URL": self.model.url,
            "MODEL_JUDGEMENTS_PER_MINUTE": "1000",
        }

    async def open_account(self, prefix: str, cents: int) -> str:
        """Open an account of a name that no other has, and pay in; return its name."""
        account = f"{prefix}-{uuid4().hex[:8]}"
        paid_in = b'{"amount_cents": %d}' % cents
        for command, body in (("open", b'{"owner": "Ada Berg"}'), ("deposit", paid_in)):
            status, told = await self.post(f"/accounts/{account}/{command}", body)
            assert status == 200, told
        return account

    async def tell(self, happened: Sequence[Told]) -> None:
        """Write records as others would."""
        batches: dict[tuple[str, int], OutgoingBatch] = {}
        for topic, key, value, ts in happened:
            number = partition_for(key.encode(), 4)
            batch = batches.setdefault((topic, number), OutgoingBatch(topic, number))
            ts_ms = round((time.time() if ts is None else ts) * 1000)
            batch.append(key.encode(), msgspec.json.encode(value), ts_ms)
        async with opened(self) as log:
            await log.append(list(batches.values()))


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def bank(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Application]:
    """Give a worker with a model and the shop's services."""
    async with serving() as model:
        with Application(tmp_path_factory.mktemp("application"), model) as bank:
            bank.start()
            for name in SERVICES:
                bank.start_service(name)
            await bank.until_answer("/readyz", lambda told: told["ready"])
            yield bank


@pytest.fixture
def pause(bank: Application) -> asyncio.Event:
    """Give what the model waits for in the middle of each answer to a customer, once the test has cleared it."""
    event = asyncio.Event()
    event.set()
    bank.model.behaviours = [behaving(event)]
    return event


def behaving(pause: asyncio.Event) -> Callable[[ModelServer, web.Request, Request], Awaitable[Any]]:
    """Return how the model behaves: it looks a balance up and tells it, and fetches people who are asked for."""

    async def behave(server: ModelServer, request: web.Request, asked: Request) -> Any:
        system, last = asked["messages"][0]["content"], asked["messages"][-1]
        if system != ANSWERING:
            scored = BADLY if "awful" in last["content"] else WELL
            return await server.speak(request, Say(json.dumps(scored)))
        if last["role"] == "tool":
            found = json.loads(last["content"])
            text = (
                f"Your account is {found['status']}, and there are {found['balance']:.2f} EUR in it."
                if "balance" in found
                else "Somebody will come to you."
            )
            return await server.speak(request, Say(text, pause=pause))
        wanted = "balance" if "balance" in last["content"] else "hand_over_to_a_person"
        return await server.speak(request, Say("Let me see.", calls=[(wanted, "{}")]))

    return behave
