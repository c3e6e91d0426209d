"""Payments, a model's server that misbehaves in all ways, and a worker that is killed meanwhile, on both logs."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from itertools import islice
from typing import Any

import msgspec
import pytest

from app.anomaly.judging import CERTAIN
from app.models import Judgement, Suspect, Transaction
from app.simulation import Plan, transactions_from
from pelton.log.contract import Log
from tests.app.anomaly.suspects import suspects_in
from tests.app.anomaly.test_judging import FRAUD, HARMLESS
from tests.app.bank_process import Bank, as_transactions, opened, read_topic
from tests.app.llm.model_server import ModelServer, Say, dripping, failing, hanging
from tests.patience import PATIENCE_S

PAYMENTS, MORE = 3_000, 1_500
SENT = [one.transaction for one in islice(transactions_from(Plan(seed=7, accounts=100)), PAYMENTS + MORE)]


class Moody:
    """A model that hangs at the first record, and is in another mood at each one after that.

    asked: how often each record was asked about, by its JSON; moods: the mood that it was in.
    """

    def __init__(self) -> None:
        self.asked: Counter[bytes] = Counter()
        self.moods: dict[bytes, str] = {}
        self.held: bytes = b""

    async def answer(self, server: ModelServer, request: Any, asked: Any) -> Any:
        record = record_of(asked)
        self.asked[record] += 1
        self.held = self.held or record
        if record == self.held:
            return await hanging(server, request, asked)
        mood = self.moods.setdefault(record, list(SAID)[len(self.moods) % len(SAID)])
        if mood == "throttled" and self.asked[record] == 1:
            return await failing(429, retry_after_ms="20")(server, request, asked)
        if mood == "failing" and self.asked[record] == 1:
            return await failing(503)(server, request, asked)
        return await server.speak(request, SAID[mood])


#: What the model comes to say in each mood.
SAID = {
    "throttled": Say(FRAUD),
    "failing": Say(HARMLESS),
    "babbling": Say('{"anomalous": maybe'),
    "refusing": Say(refusal="I will not."),
    "well": Say(FRAUD),
}


def record_of(asked: Any) -> bytes:
    """Return the record that a request to the model is about."""
    return msgspec.json.encode(msgspec.json.decode(asked["messages"][1]["content"])["record"], order="sorted")


def as_record(suspect: Suspect) -> bytes:
    return msgspec.json.encode(suspect.record, order="sorted")


async def test_each_suspect_is_judged_once_whatever_the_model_does(
    bank: Bank, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL_JUDGEMENTS_PER_MINUTE", "1000")
    moody = Moody()
    server.behaviours = [moody.answer]
    bank.start()
    await pay(bank, SENT[:PAYMENTS])
    async with opened(bank) as log:
        expected = await expect(log, bank)
        assert len(expected) > len(SAID)
        waiting = await waiting_for(moody, expected)
        first = await judgements(log, bank, len(expected) - waiting)
        for name, found in first.items():
            check(found, expected[name], moody.moods[as_record(expected[name])])
        assert set(moody.moods.values()) == set(SAID)

        # -- killed while the model thinks; from now on it is silent, or sends a byte now and then
        bank.stop(signal.SIGKILL)
        paid = moody.asked.copy()
        server.behaviours = [hanging, dripping]
        monkeypatch.setenv("MODEL_TIMEOUT_S", "1")
        bank.start()
        await pay(bank, SENT[PAYMENTS:])
        expected = await expect(log, bank)
        assert len(expected) > len(first) + waiting
        second = await judgements(log, bank, len(expected))
        assert {name: second[name] for name in first} == first
        for name in second.keys() - first.keys():
            assert (second[name].by, second[name].model_score) == ("statistics", None)
            assert "did not answer within 1 s" in second[name].why or "left alone" in second[name].why
        again = {record_of(asked) for asked in server.requests[sum(paid.values()) :]}
        assert again & paid.keys() <= {moody.held}  # what was answered is not paid for again

        one = next(found for found in first.values() if found.anomalous)
        body = msgspec.json.encode({"judgement": one.id, "key": one.key, "right": True})
        assert (await bank.post("/api/anomalies/feedback", body))[0] == 202
        await bank.until_answer(
            "/api/anomalies", lambda told: any(counts["precision"] == 1.0 for counts in told["counts"])
        )


async def pay(bank: Bank, payments: list[Transaction]) -> None:
    """Post payments once the worker has all partitions; they are durable when this returns."""
    await bank.until(lambda overview: overview["partitions"] == 4)
    for start in range(0, len(payments), 1_500):  # a megabyte is too much
        body = b"\n".join(msgspec.json.encode(one) for one in payments[start : start + 1_500])
        assert (await bank.post("/transactions", body, "application/x-ndjson"))[0] == 202


def check(found: Judgement, suspect: Suspect, mood: str) -> None:
    """Check a judgement against the mood that the model was in."""
    assert found.score == suspect.score
    if mood in ("babbling", "refusing"):
        assert (found.by, found.model_score, found.anomalous) == ("statistics", None, suspect.selected)
        assert found.why
        return
    anomalous = SAID[mood].text == FRAUD
    assert (found.by, found.model_score) == ("gpt-4o-mini", 0.9 if anomalous else 0.1)
    assert found.anomalous == (anomalous or (suspect.selected and suspect.score >= CERTAIN))


async def expect(log: Log, bank: Bank) -> dict[str, Suspect]:
    """Return what is to be judged of all payments that were sent."""
    return suspects_in(as_transactions(await read_topic(log, f"{bank.name}-transactions")))


async def waiting_for(moody: Moody, expected: dict[str, Suspect]) -> int:
    """Return how many suspects wait for the one that the model hangs at: all of its account, for it was the first."""
    async with asyncio.timeout(PATIENCE_S):
        while not moody.held:  # noqa: ASYNC110 - the server sets no event for it
            await asyncio.sleep(0.05)
    (account,) = [one.key for one in expected.values() if as_record(one) == moody.held]
    return sum(one.key == account for one in expected.values())


async def judgements(log: Log, bank: Bank, count: int) -> dict[str, Judgement]:
    """Return all judgements by id, none of them twice, once there are so many."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            rows = [value for partition in await read_topic(log, f"{bank.name}-judgements") for value in partition]
            if len(rows) >= count:
                break
            await asyncio.sleep(0.1)
    found = [msgspec.json.decode(row, type=Judgement) for row in rows]
    assert len({one.id for one in found}) == len(found) == count
    return {one.id: one for one in found}
