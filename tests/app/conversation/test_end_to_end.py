"""A chat over HTTP, with a model that streams and a worker that is killed while it thinks, on both logs."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from io import BytesIO
from typing import Any
from uuid import uuid4

import aiohttp
import msgspec
import pytest

from app.sentiment.judging import RULES as SCORING
from tests.app.bank_process import Bank
from tests.app.llm.model_server import ModelServer, Say
from tests.patience import PATIENCE_S


async def events(bank: Bank, account: str, text: str) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """Ask, and yield the server-sent events."""
    body = BytesIO(msgspec.json.encode({"account": account, "text": text}))
    headers = {"Accept": "text/event-stream", "Content-Type": "application/json"}
    url = f"http://127.0.0.1:{bank.port}/chat"
    async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=headers) as response:
        assert (response.status, response.content_type) == (200, "text/event-stream")
        kind = ""
        async for line in response.content:
            if line.startswith(b"event: "):
                kind = line[7:].strip().decode()
            if line.startswith(b"data: "):
                yield kind, msgspec.json.decode(line[6:])


async def test_answers_stream_and_a_crash_asks_again_only_what_was_not_answered(
    bank: Bank, server: ModelServer
) -> None:
    account = f"acc-{uuid4().hex[:8]}"
    easy, hard = f"Any cases of {account}?", f"Think hard about {account}."

    def ours() -> list[list[Any]]:
        """Return the messages of each request that is to be answered; those that are to be scored are not."""
        asked = (one["messages"] for one in server.requests)
        return [messages for messages in asked if messages[0]["content"] != SCORING]

    async def think(server: ModelServer, request: Any, asked: dict[str, Any]) -> Any:
        if asked["messages"][0]["content"] == SCORING:
            return await server.speak(request, Say('{"label": "neutral", "score": 0, "aspects": []}'))
        last = asked["messages"][-1]
        if last["role"] == "tool":
            return await server.speak(request, Say("There are no cases. All of your payments look well to us."))
        if last["content"] == hard:
            await server.release.wait()
            return await server.speak(request, Say("Forty-two."))
        return await server.speak(request, Say("Let me see.", calls=[("case_status", "{}")]))

    server.behaviours = [think]
    bank.start()
    await bank.until(lambda overview: overview["partitions"] == 4)
    heard = [event async for event in events(bank, account, easy)]
    kinds = [kind for kind, _ in heard]
    assert kinds[-1] == "answer"
    assert kinds.count("answer") == 1
    assert kinds.count("text") > 3
    behind = len(kinds) - kinds[::-1].index("void")
    pieces = "".join(said["text"] for kind, said in heard[behind:] if kind == "text")
    answer = heard[-1][1]["answer"]
    assert pieces == answer["text"] == "There are no cases. All of your payments look well to us."
    assert (answer["by"], answer["looked_up"]) == ("test-model-1", ["case_status"])
    told = msgspec.json.decode(ours()[1][-1]["content"])
    assert told == {"case": None}

    hanging = asyncio.create_task(bank.post("/chat", msgspec.json.encode({"account": account, "text": hard})))
    async with asyncio.timeout(PATIENCE_S):
        while len(ours()) < 3:  # noqa: ASYNC110 - the server sets no event for it
            await asyncio.sleep(0.05)
    bank.stop(signal.SIGKILL)
    with pytest.raises(aiohttp.ClientError):
        await hanging
    server.release.set()
    bank.start()
    found = await bank.until_answer(f"/api/chat?account={account}", lambda one: len(one.get("turns", [])) == 2)
    assert [turn["answered"] for turn in found["turns"]] == [answer["text"], "Forty-two."]
    asked = [messages[-1]["content"] for messages in ours()]
    assert asked.count(easy) == 1
    assert asked.count(hard) == 2  # it had not been answered
    assert [message["content"] for message in ours()[-1]][-3:] == [easy, answer["text"], hard]
