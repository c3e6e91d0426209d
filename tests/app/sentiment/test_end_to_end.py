"""Reviews, a model's server and a worker that is killed, on both logs."""

from __future__ import annotations

import asyncio
import signal
from typing import Any
from uuid import uuid4

import msgspec

from app.models import Sentiment
from pelton.log.contract import Log
from tests.app.bank_process import Bank, opened, read_topic
from tests.app.llm.model_server import ModelServer, Say
from tests.patience import PATIENCE_S

ANSWERED, SENT = 20, 30


def asked_text(request: dict[str, Any]) -> str:
    """Return the review that a request to the model is about."""
    text: str = msgspec.json.decode(request["messages"][-1]["content"])["text"]
    return text


async def test_no_review_is_paid_or_told_twice_over_a_crash(bank: Bank, server: ModelServer) -> None:
    product = f"product-{uuid4().hex}"
    texts = [f"Opinion {number} on {product}." for number in range(SENT)]
    paid = texts[:ANSWERED]
    verdict = Say('{"label": "neutral", "score": 0.25, "aspects": []}')

    async def some(server: ModelServer, request: Any, asked: Any) -> Any:
        if asked_text(asked) in texts[ANSWERED:]:
            await server.release.wait()
        return await server.speak(request, verdict)

    server.behaviours = [some]
    bank.start()
    await bank.until(lambda overview: overview["partitions"] == 4)
    for text in texts:
        body = msgspec.json.encode({"product": product, "text": text})
        assert (await bank.post("/reviews", body))[0] == 202
    async with opened(bank) as log:
        await sentiments_of(log, bank, product, len(paid))
        bank.stop(signal.SIGKILL)
        server.release.set()
        bank.start()
        found = await sentiments_of(log, bank, product, len(texts))
    assert len(found) == len({one.review for one in found}) == len(texts)
    assert {(one.label, one.score, one.by) for one in found} == {("neutral", 0.25, "gpt-4o-mini")}
    asked = [asked_text(request) for request in server.requests]
    assert all(asked.count(text) == 1 for text in paid)
    assert set(asked) == set(texts)


async def sentiments_of(log: Log, bank: Bank, product: str, count: int) -> list[Sentiment]:
    """Return what was said of a product, once it is so much."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            rows = [value for partition in await read_topic(log, f"{bank.name}-sentiments") for value in partition]
            found = [one for row in rows if (one := msgspec.json.decode(row, type=Sentiment)).product == product]
            if len(found) >= count:
                return found
            await asyncio.sleep(0.1)
