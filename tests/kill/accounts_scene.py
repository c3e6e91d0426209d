"""The bank's worker while customers send money about, and what its events say about the money afterwards."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import islice

import msgspec

from app.simulation import requests
from pelton.batch import Headers, OutgoingBatch, TopicPartition
from pelton.clock import SystemClock
from pelton.log.contract import Log, TopicSpec
from pelton.log.kafka import KafkaLog
from pelton.log.partitioner import partition_for
from pelton.log.sqlite import SqliteLog
from tests.app.bank_process import Bank
from tests.app.ledger_check import Ledger, check_settled, ledger_of
from tests.patience import PATIENCE_S

PARTITIONS = 4
ACCOUNTS = 30


class Scene:
    """The bank, its log, and the customers' requests, some of which are sent twice. sent: how many, each once."""

    def __init__(self, bank: Bank, log: Log, seed: int = 7) -> None:
        self.bank, self.log = bank, log
        self.app_id = bank.name
        self.sent = 0
        self.coming = requests(seed=seed, accounts=ACCOUNTS)
        self.chance = random.Random(seed)

    async def send(self, count: int) -> None:
        self.sent += count
        batches = {number: OutgoingBatch(f"{self.app_id}-accounts-commands", number) for number in range(PARTITIONS)}
        for one in islice(self.coming, count):
            headers: Headers = (("pelton-command-id", b"%d" % one.number),)
            key, value = one.account.encode(), msgspec.json.encode(one.command)
            for _ in range(2 if self.chance.random() < 0.2 else 1):
                batches[partition_for(key, PARTITIONS)].append(key, value, 1_767_571_200_000 + one.number, headers)
        await self.log.append([batch for batch in batches.values() if len(batch)])

    async def ledger(self) -> Ledger:
        """Add up the committed events, after checking that no version is missing or there twice."""
        topic = f"{self.app_id}-accounts-events"
        found: list[tuple[str, bytes]] = []
        versions: dict[str, int] = {}
        sources = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        for source, (start, end) in (await self.log.offsets(sources)).items():
            offset = start
            while offset < end:
                batch = await self.log.read(source, offset, bytes_max=1 << 22, timeout_s=1.0)
                for key, value, own in zip(batch.keys, batch.values, batch.headers or [], strict=True):
                    account = (key or b"").decode()
                    versions[account] = versions.get(account, 0) + 1
                    assert int(dict(own)["pelton-version"] or 0) == versions[account]
                    found.append((account, value or b""))
                offset = batch.next_offset
        return ledger_of(found)

    async def until_events(self, count: int) -> Ledger:
        """Wait until there are as many events, besides the steps that transfers take behind their first one."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                ledger = await self.ledger()
                if ledger.events.total() - 2 * ledger.events["TransferSent"] >= count:
                    return ledger
                assert self.bank.worker is not None
                assert self.bank.worker.poll() is None, (self.bank.directory / "worker.txt").read_text()[-5_000:]
                await asyncio.sleep(0.05)

    async def until_grown(self) -> None:
        sources = [TopicPartition(f"{self.app_id}-accounts-events", number) for number in range(PARTITIONS)]

        async def size() -> int:
            return sum(end for _, end in (await self.log.offsets(sources)).values())

        before = await size()
        async with asyncio.timeout(PATIENCE_S):
            while True:
                if await size() > before:
                    return
                await asyncio.sleep(0.02)

    async def until_settled(self) -> Ledger:
        """Wait until every request is handled, and check that no money was made or lost, and no transfer is half."""
        ledger = await self.until_events(self.sent)
        check_settled(ledger)
        assert ledger.events.total() == self.sent + 2 * ledger.events["TransferSent"]
        printed = await asyncio.to_thread(self.bank.command, "rebuild-balances")
        assert f"{ledger.events.total():,} events of {ACCOUNTS} accounts" in printed
        assert f"{ACCOUNTS} rows of the read model, 0 events behind: 0 differ from the events" in printed
        assert await self.bank.until(lambda overview: overview["partitions"] == PARTITIONS)
        status, answer = await self.bank.get("/accounts")
        assert (status, answer["totals"]["balance_cents"]) == (200, ledger.cash)
        return ledger


@asynccontextmanager
async def opened(bank: Bank, seed: int = 7) -> AsyncGenerator[Scene]:
    """Give a scene with its topics; the bank's worker and the topics end with it."""
    log: Log = (
        KafkaLog([bank.broker.removeprefix("kafka://")])
        if bank.broker.startswith("kafka:")
        else SqliteLog(bank.broker, clock=SystemClock())
    )
    await log.open()
    scene = Scene(bank, log, seed)
    try:
        topics = [f"{scene.app_id}-accounts-{what}" for what in ("commands", "events")]
        await log.declare([TopicSpec(topic, PARTITIONS, retention_ms=-1) for topic in topics])
        yield scene
    finally:
        if bank.worker is not None:
            bank.kill()
        await log.delete_topics([topic for topic in await log.topics() if topic.startswith(scene.app_id)])
        await log.close()
