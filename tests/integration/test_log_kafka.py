"""The Kafka log against a real broker: what the shared contract suite cannot ask of every home."""

from __future__ import annotations

import asyncio
import gc
import time
import uuid
from collections.abc import AsyncIterator, Hashable
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.group import LeaveGroupRequest

from pelton.batch import OutgoingBatch, TopicPartition
from pelton.clock import SystemClock
from pelton.errors import (
    ConfigurationError,
    FencedError,
    OffsetOutOfRangeError,
    RecordRefusedError,
    TopicMismatch,
    UnavailableError,
)
from pelton.log.contract import Position, TopicSpec
from pelton.log.kafka import KafkaLog
from pelton.log.kafka.cluster import GROUP, Cluster, ConnectionSettings
from pelton.log.kafka.producer import Producer
from pelton.log.kafka.transaction import Membership, Transactions
from tests.integration.kafka_scene import MIB, Scene, batch_of, opened
from tests.patience import PATIENCE_S


@pytest_asyncio.fixture
async def scene(kafka: str) -> AsyncIterator[Scene]:
    async with opened(kafka) as made:
        yield made


async def test_big_commit_is_contiguous_and_in_order(scene: Scene) -> None:
    topic = await scene.topic(2)
    member = await scene.member(topic)
    values = [b"%07d" % number + bytes(200) for number in range(30_000)]
    first, second = batch_of(topic, *values), batch_of(topic, b"tail", partition=0)
    other = batch_of(topic, b"other", partition=1)
    bases = await member.group.commit([first, other, second, OutgoingBatch(topic, 0)], {})
    assert bases == [0, 0, 30_000, -1]
    rows = await scene.everything(topic)
    assert [row[0] for row in rows] == list(range(30_001))
    assert [row[2] for row in rows] == [*values, b"tail"]


async def test_record_larger_than_a_batch(scene: Scene) -> None:
    topic = await scene.topic(config={"max.message.bytes": str(8 * MIB)})
    member = await scene.member(topic)
    big = uuid.uuid4().bytes * (5 * MIB // 16)
    await member.group.commit([batch_of(topic, b"small", big, b"after")], {})
    batch = await scene.log.read(TopicPartition(topic, 0), 0, bytes_max=1000, timeout_s=5)
    assert batch.values[0] == b"small"
    assert [row[2] for row in await scene.everything(topic)] == [b"small", big, b"after"]
    got = await member.records(3)
    assert [value for batch in got for value in batch.values] == [b"small", big, b"after"]


async def test_a_read_to_the_end_leaves_no_request_that_others_would_wait_behind(scene: Scene) -> None:
    topic = await scene.topic()
    source = TopicPartition(topic, 0)
    member = await scene.member(topic)
    await member.group.commit([batch_of(topic, b"a", b"b")], {})
    end = (await scene.log.offsets([source], decided=True))[source].end
    position = 0
    async with asyncio.timeout(PATIENCE_S):
        while position < end:  # past the marker of the transaction, too
            position = (await scene.log.read(source, position, bytes_max=MIB, timeout_s=1.0)).next_offset
    assert scene.log._readers[source]._ahead is None


async def test_what_the_topic_does_not_take_is_a_configuration_error(scene: Scene) -> None:
    topic = await scene.topic(config={"max.message.bytes": "1000"}, cleanup_policy="compact")
    noise = b"".join(uuid.uuid4().bytes for _ in range(200))
    with pytest.raises(ConfigurationError, match=r"MESSAGE_TOO_LARGE[\s\S]*max.message.bytes"):
        await scene.log.append([batch_of(topic, noise)])
    with pytest.raises(ConfigurationError, match="need a key"):
        await scene.log.append([batch_of(topic, b"x", key=None)])
    assert await scene.log.append([batch_of(topic, b"fine")]) == [0]


async def test_any_timestamp_is_taken_and_a_refusal_says_what_to_do(scene: Scene) -> None:
    """Brokers refuse what is an hour ahead of them, and an event's timestamp goes on with whatever comes of it."""
    times = [0, -1, -(2**63), 2**63 - 1, 1_760_000_000_000]
    batch = batch_of(await scene.topic(), *[b"x"] * len(times))
    batch.timestamps_ms = times
    await scene.log.append([batch])
    found = await scene.log.read(TopicPartition(batch.topic, 0), 0, bytes_max=MIB, timeout_s=5)
    assert list(found.timestamps_ms) == times
    batch.topic = await scene.topic(config={"message.timestamp.after.max.ms": "1000"})
    with pytest.raises(ConfigurationError, match=r"INVALID_TIMESTAMP[\s\S]*timestamp.after.max.ms"):
        await scene.log.append([batch])


async def test_old_generation_is_fenced_and_leaves_nothing(scene: Scene) -> None:
    topic = await scene.topic(2)
    source = TopicPartition(topic, 0)
    first = await scene.member(topic)
    stale = Membership(f"group-{topic}", first.group.generation, first.group.member_id, None)
    second = await scene.join(topic)
    await asyncio.gather(
        first.until(lambda: len(first.group.assignment()) == 1),
        second.until(lambda: len(second.group.assignment()) == 1),
    )
    for guarantee, member in (("zombie", stale), ("stranger", Membership(f"group-{topic}", 1, "nobody", None))):
        producer = Producer(scene.log._cluster, transactional_id=f"{guarantee}-{topic}")
        with pytest.raises(FencedError):
            await Transactions(scene.log._cluster, [producer]).commit(
                [batch_of(topic, b"invisible")], {source: Position(7)}, member
            )
    assert await scene.everything(topic) == []
    assert await scene.log.group_positions(f"group-{topic}", [source]) == {}


async def test_positions_of_others_are_refused(scene: Scene) -> None:
    topic = await scene.topic()
    for guarantee in ("exactly_once", "at_least_once"):
        member = await scene.member(topic, guarantee=guarantee)
        with pytest.raises(FencedError, match="not assigned"):
            await member.group.commit([batch_of(topic, b"x")], {TopicPartition(topic, 5): Position(1)})
        await member.group.leave()


async def test_second_holder_of_a_transactional_id_fences_the_first(scene: Scene) -> None:
    topic = await scene.topic()
    first = await scene.member(topic, transactional_id=f"one-{topic}")
    await first.group.commit([batch_of(topic, b"1")], {})
    second = await scene.join(topic, transactional_id=f"one-{topic}", group_id=f"other-{topic}")
    with pytest.raises(FencedError):
        await first.group.commit([batch_of(topic, b"zombie")], {})
    await second.group.commit([batch_of(topic, b"2")], {})
    assert [row[2] for row in await scene.everything(topic)] == [b"1", b"2"]


async def test_restart_aborts_what_the_crash_left_open(scene: Scene) -> None:
    topic = await scene.topic()
    cluster = scene.log._cluster
    crashed = Producer(cluster, transactional_id=f"worker-{topic}-1", transaction_timeout_ms=60_000)
    await crashed.initialise()
    await Transactions(cluster, [crashed])._write([batch_of(topic, b"never")])
    restarted = await scene.member(topic, transactional_id=f"worker-{topic}")
    await restarted.group.commit([batch_of(topic, b"seen")], {})
    assert [row[2] for row in await scene.everything(topic)] == [b"seen"]
    got = await restarted.records(1)
    assert [value for batch in got for value in batch.values] == [b"seen"]
    await restarted.until(lambda: restarted.group.lag() == {TopicPartition(topic, 0): 0})


class LosesAnswers(Cluster):
    """A connection that loses the answer to one kind of request, after the broker has acted on it."""

    lost: str = ""

    async def send(self, node: int, request: Any, lane: Hashable) -> Any:
        answer = await super().send(node, request, lane)
        if type(request).__name__ == self.lost:
            self.lost = ""
            raise KafkaConnectionError("lost")
        return answer


@pytest_asyncio.fixture
async def faulty(kafka: str) -> AsyncIterator[LosesAnswers]:
    cluster = LosesAnswers(ConnectionSettings((kafka,), "test"), SystemClock())
    await cluster.open()
    yield cluster
    await cluster.close()


async def test_lost_answer_to_the_end_of_a_transaction_is_settled(scene: Scene, faulty: LosesAnswers) -> None:
    topic = await scene.topic()
    member = Membership(f"group-{topic}", -1, "", None)
    transactions = Transactions(
        faulty, [Producer(faulty, transactional_id=f"lossy-{topic}-{turn}") for turn in range(2)]
    )
    faulty.lost = "EndTxnRequest"
    with pytest.raises(UnavailableError, match="learn whether"):
        await transactions.commit([batch_of(topic, b"1")], {}, member)
    assert [row[2] for row in await scene.everything(topic)] == [b"1"]
    await transactions.commit([batch_of(topic, b"2")], {}, member)
    assert [row[2] for row in await scene.everything(topic)] == [b"1", b"2"]


@pytest.mark.parametrize("lost", ["ProduceRequest", "AddPartitionsToTxnRequest", "AddOffsetsToTxnRequest"])
async def test_other_lost_answers_cost_a_retry_and_double_nothing(
    scene: Scene, faulty: LosesAnswers, lost: str
) -> None:
    topic = await scene.topic()
    owner = await scene.member(topic)
    member = Membership(f"group-{topic}", owner.group.generation, owner.group.member_id, None)
    transactions = Transactions(
        faulty, [Producer(faulty, transactional_id=f"lossy-{topic}-{turn}") for turn in range(2)]
    )
    faulty.lost = lost
    source = TopicPartition(topic, 0)
    assert await transactions.commit([batch_of(topic, b"1", b"2")], {source: Position(9, "note")}, member) == [0]
    assert [row[2] for row in await scene.everything(topic)] == [b"1", b"2"]
    assert await scene.log.group_positions(f"group-{topic}", [source]) == {source: Position(9, "note")}


async def test_partitions_move_and_everyone_knows_everyone(scene: Scene) -> None:
    topic, table = await scene.topic(4), await scene.topic(4)
    committed: list[int] = []

    async def revoking(partitions: frozenset[TopicPartition]) -> None:
        committed.extend(await first.group.commit([batch_of(table, b"last")], dict.fromkeys(partitions, Position(0))))

    first = await scene.member(topic, table, address="a:1", standby_replicas=1, revoking=revoking)
    assert len(first.group.assignment()) == 8
    second = await scene.join(topic, table, address="b:2", standby_replicas=1, held=frozenset({3}))
    await asyncio.gather(
        first.until(lambda: len(first.group.assignment()) == 4),
        second.until(lambda: len(second.group.assignment()) == 4),
    )
    assert committed == [0]
    assert first.group.generation == second.group.generation > 1
    assert not first.group.assignment() & second.group.assignment()
    numbers = {p.partition for p in first.group.assignment()}
    assert first.group.assignment() == {TopicPartition(t, n) for t in (topic, table) for n in numbers}
    assert first.group.members() == second.group.members()
    assert {m.address: m.tasks | m.standbys for m in first.group.members()} == {
        "a:1": frozenset(range(4)),
        "b:2": frozenset(range(4)),
    }
    assert second.events[0][2] == frozenset(numbers)
    await second.group.leave()
    await first.until(lambda: len(first.group.assignment()) == 8)
    assert [event[0] for event in first.events] == ["assigned", "revoked", "assigned", "revoked", "assigned"]


async def test_member_that_the_group_dropped_loses_its_partitions_and_comes_back(scene: Scene) -> None:
    topic = await scene.topic(2)
    member = await scene.member(topic)
    owned, before = member.group.assignment(), member.group.member_id
    await scene.log._cluster.to_coordinator(GROUP, f"group-{topic}", LeaveGroupRequest(f"group-{topic}", before))
    with pytest.raises(FencedError):
        await member.group.commit([batch_of(topic, b"late")], dict.fromkeys(owned, Position(1)))
    await member.until(lambda: len(member.events) == 3)
    assert [event[0] for event in member.events] == ["assigned", "lost", "assigned"]
    assert member.events[1][1] == owned
    assert member.group.member_id != before
    assert await scene.everything(topic) == []


async def test_static_member_comes_back_without_a_rebalance(scene: Scene) -> None:
    topic = await scene.topic(2)
    first = await scene.member(topic, instance_id="one", returns=True)
    generation = first.group.generation
    await first.group.leave()
    again = await scene.member(topic, instance_id="one")
    assert again.group.generation == generation
    assert await again.group.commit([batch_of(topic, b"x")], {TopicPartition(topic, 0): Position(1)}) == [0]


async def test_at_least_once_fences_too(scene: Scene) -> None:
    topic = await scene.topic()
    source = TopicPartition(topic, 0)
    member = await scene.member(topic, guarantee="at_least_once")
    assert await member.group.commit([batch_of(topic, b"1")], {source: Position(3, "note")}) == [0]
    assert await member.group.committed([source]) == {source: Position(3, "note")}
    await scene.log._cluster.to_coordinator(
        GROUP, f"group-{topic}", LeaveGroupRequest(f"group-{topic}", member.group.member_id)
    )
    with pytest.raises(FencedError):
        await member.group.commit([], {source: Position(4)})


@pytest.mark.parametrize("refused", [0, 1, 2])
async def test_at_least_once_writes_nothing_of_a_rank_before_all_of_the_lower_ones(scene: Scene, refused: int) -> None:
    """One rank's topic is compacted, and takes no record without a key; the others take theirs."""
    read = await scene.topic()
    source = TopicPartition(read, 0)
    topics = [await scene.topic(cleanup_policy="compact" if rank == refused else "delete") for rank in range(3)]
    member = await scene.member(read, guarantee="at_least_once")
    writes = [replace(batch_of(topic, b"x", b"y", key=None), rank=rank) for rank, topic in enumerate(topics)]
    writes.reverse()  # their place is not what counts
    with pytest.raises(RecordRefusedError):
        await member.group.commit(writes, {source: Position(7)})
    assert [len(await scene.everything(topic)) for topic in topics] == [2 if n < refused else 0 for n in range(3)]
    assert await member.group.committed([source]) == {}
    kept = [replace(batch, keys=[b"k", b"k"]) for batch in writes]
    assert await member.group.commit(kept, {source: Position(7)}) == [2 if n < refused else 0 for n in (2, 1, 0)]
    assert await member.group.committed([source]) == {source: Position(7)}


async def test_pause_keeps_what_is_buffered_and_seek_goes_back(scene: Scene) -> None:
    topic = await scene.topic()
    source = TopicPartition(topic, 0)
    await scene.log.append([batch_of(topic, *[b"%d" % n for n in range(10)]), batch_of(topic, b"last")])
    member = await scene.member(topic)
    got = await member.records(1) if not member.group.lag() else []
    member.group.pause([source])
    assert await member.group.fetch(bytes_max=MIB, timeout_s=0.3) == []
    member.group.seek(source, 4)
    member.group.resume([source])
    got = await member.records(7)
    assert [offset for batch in got for offset in batch.offsets] == list(range(4, 11))
    assert member.group.lag() == {source: 0}


async def test_next_record_does_not_wait_for_a_poll_of_the_others(scene: Scene) -> None:
    """A poll of quiet partitions lasts 200 ms."""
    topic = await scene.topic(4)
    member = await scene.member(topic)
    seconds: list[float] = []
    for _ in range(30):
        started = time.monotonic()
        await scene.log.append([batch_of(topic, b"x", partition=1)])
        await member.records(1)
        seconds.append(time.monotonic() - started)
    assert min(seconds) < 0.1  # the machine may be busy; a poll that is waited for delays all of them


async def test_partition_that_is_resumed_does_not_wait_for_a_poll_of_the_others(scene: Scene) -> None:
    topic = await scene.topic(2)
    quiet, busy = TopicPartition(topic, 0), TopicPartition(topic, 1)
    member = await scene.member(topic)
    seconds: list[float] = []
    for number in range(20):
        member.group.pause([busy])
        await scene.log.append([batch_of(topic, b"x", partition=1)])
        assert [b for b in await member.group.fetch(bytes_max=MIB, timeout_s=0.05) if b.partition == 1] == []
        started = time.monotonic()
        member.group.resume([busy])
        assert [list(batch.offsets) for batch in await member.records(1)] == [[number]]
        seconds.append(time.monotonic() - started)
    assert min(seconds) < 0.1  # the machine may be busy; a poll that is waited for delays all of them
    assert member.group.lag() == {quiet: 0, busy: 0}


async def test_buffers_are_bounded_and_everything_comes(scene: Scene) -> None:
    topic = await scene.topic(3)
    member = await scene.member(topic, fetch_bytes_max=64 * 1024)
    rows = [b"%05d" % number + bytes(100) for number in range(20_000)]
    for first in range(0, len(rows), 1000):
        await scene.log.append([batch_of(topic, *rows[first : first + 1000], partition=n) for n in range(3)])
    got: dict[int, list[bytes | None]] = {0: [], 1: [], 2: []}
    for batch in await member.records(3 * len(rows)):
        got[batch.partition] += batch.values
    assert all(values == rows for values in got.values())


async def test_offsets_that_the_log_does_not_hold(scene: Scene) -> None:
    topic = await scene.topic()
    source = TopicPartition(topic, 0)
    await scene.log.append([batch_of(topic, b"x")])
    with pytest.raises(OffsetOutOfRangeError) as caught:
        await scene.log.read(source, 99, bytes_max=MIB, timeout_s=1)
    assert (caught.value.topic, caught.value.partition, caught.value.offset) == (topic, 0, 99)
    member = await scene.member(topic)
    member.group.seek(source, 99)
    with pytest.raises(OffsetOutOfRangeError):
        await member.until(lambda: False)


async def test_other_topics_from_the_next_rebalance(scene: Scene) -> None:
    one, two = await scene.topic(), await scene.topic()
    member = await scene.member(one)
    member.group.update(topics=frozenset({one, two}))
    await member.until(lambda: member.group.assignment() == {TopicPartition(one, 0), TopicPartition(two, 0)})
    await scene.log.append([batch_of(two, b"new")])
    assert [batch.topic for batch in await member.records(1)] == [two]


async def test_declared_by_several_at_once(scene: Scene) -> None:
    name = f"test-{uuid.uuid4()}"
    scene.topics.append(name)
    logs = [KafkaLog(scene.bootstrap) for _ in range(4)]
    await asyncio.gather(*(log.open() for log in logs))
    assert await asyncio.gather(*(log.declare([TopicSpec(name, partitions=3)]) for log in logs)) == [{name: 3}] * 4
    await asyncio.gather(*(log.close() for log in logs))
    with pytest.raises(TopicMismatch, match="has 3 partitions, expected 2"):
        await scene.log.declare([TopicSpec(name, partitions=2)])
    with pytest.raises(TopicMismatch, match=r"cleanup\.policy=delete, expected compact"):
        await scene.log.declare([TopicSpec(name, cleanup_policy="compact")])


async def test_nobody_there() -> None:
    log = KafkaLog(
        "127.0.0.1:1", security_protocol="SASL_PLAINTEXT", sasl_plain_username="me", sasl_plain_password="s3cret"
    )
    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:1") as caught:
        await log.open()
    assert caught.value.hint
    assert "s3cret" not in f"{log!r} {log._settings!r} {caught.value}"
    with pytest.raises(ConfigurationError) as refused:
        await KafkaLog("127.0.0.1:1", sasl_pasword="s3cret").open()
    assert "s3cret" not in str(refused.value)


async def test_little_is_unpacked_at_a_time_and_partitions_take_turns(scene: Scene) -> None:
    """However much is asked for: 16 MiB of small records kept the event loop to themselves for seconds."""
    topic = await scene.topic(2)
    batch_rows = 5_000
    for number in (0, 1):
        for _ in range(10):
            await scene.log.append([batch_of(topic, *[b"v"] * batch_rows, partition=number)])
    member = await scene.join(topic)
    offsets: dict[int, list[int]] = {0: [], 1: []}
    turns: list[int] = []
    async with asyncio.timeout(PATIENCE_S):
        while sum(map(len, offsets.values())) < 20 * batch_rows:
            got = await member.group.fetch(bytes_max=64 * MIB, timeout_s=5)
            assert sum(map(len, got)) < 8_192 + batch_rows
            for batch in got:
                offsets[batch.partition] += batch.offsets
                turns += [batch.partition] * bool(len(batch))
    assert offsets == {0: list(range(10 * batch_rows)), 1: list(range(10 * batch_rows))}
    assert len({*turns[:4]}) == 2


class LeapingClock(SystemClock):
    """The machine's clock, but time can leap: as it does for a process that was suspended."""

    ahead_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead_s


async def test_a_process_that_was_suspended_does_not_take_its_own_silence_for_the_brokers(kafka: str) -> None:
    clock = LeapingClock()
    async with opened(kafka, clock=clock) as scene:
        topic = await scene.topic()
        member = await scene.member(topic)
        await member.group.fetch(bytes_max=MIB, timeout_s=0.05)
        clock.ahead_s += 3600
        assert await member.group.fetch(bytes_max=MIB, timeout_s=0.05) == []
        await scene.log.append([batch_of(topic, b"v")])
        assert len(await member.records(1)) == 1


async def test_an_undecided_transaction_holds_back_its_own_partition_only(scene: Scene) -> None:
    """A worker that was killed in the middle of a commit leaves one, until it times out."""
    topic = await scene.topic(2)
    first, second = TopicPartition(topic, 0), TopicPartition(topic, 1)
    await scene.log.append([batch_of(topic, b"0"), batch_of(topic, b"1", partition=1)])
    killed = await scene.member(topic)
    member = Membership(f"group-{topic}", killed.group.generation, killed.group.member_id, None)
    producer = Producer(scene.log._cluster, transactional_id=f"killed-{topic}", transaction_timeout_ms=60_000)
    await producer.initialise()
    transaction = Transactions(scene.log._cluster, [producer])
    await transaction._requests.add_offsets(producer, member.group_id)
    await transaction._position({second: Position(1)}, member)
    await killed.group.leave()

    successor = await scene.join(topic)
    (batch,) = await successor.records(1)
    assert (batch.source, batch.values) == (first, [b"0"])
    assert successor.group.assignment() == {first, second}
    assert await successor.group.fetch(bytes_max=MIB, timeout_s=0.5) == []
    await producer.initialise()  # aborts what its predecessor left open
    (batch,) = await successor.records(1)
    assert (batch.source, batch.values) == (second, [b"1"])


async def test_positions_are_told_though_some_transaction_is_always_undecided(scene: Scene) -> None:
    """Of busy workers hardly ever all positions are decided at one moment."""
    topic = await scene.topic(2)
    first, second = TopicPartition(topic, 0), TopicPartition(topic, 1)
    one = await scene.member(topic)
    member = Membership(f"group-{topic}", one.group.generation, one.group.member_id, None)
    cluster = scene.log._cluster
    busy = [Producer(cluster, transactional_id=f"busy-{topic}-{n}", transaction_timeout_ms=60_000) for n in range(2)]
    transactions = [Transactions(cluster, [producer]) for producer in busy]

    async def begin(turn: int, source: TopicPartition) -> None:
        await busy[turn].initialise()
        await transactions[turn]._requests.add_offsets(busy[turn], member.group_id)
        await transactions[turn]._position({source: Position(7)}, member)

    await begin(0, first)
    async with opened(scene.bootstrap) as outside:
        asked = asyncio.create_task(outside.log.group_positions(member.group_id, [first, second]))
        async with asyncio.timeout(PATIENCE_S):
            while not outside.log._cluster.retries:  # noqa: ASYNC110 - the answer that it is undecided sets no event
                await asyncio.sleep(0.01)
        await begin(1, second)
        await transactions[0]._requests.commit(busy[0])
        assert await asked == {first: Position(7)}
        await transactions[1]._requests.commit(busy[1])
        assert await outside.log.group_positions(member.group_id, [first, second]) == {
            first: Position(7),
            second: Position(7),
        }


class HastyClock(SystemClock):
    """A clock that goes a hundred times as fast as the machine's, so that patience is soon over."""

    def monotonic(self) -> float:
        return 100 * super().monotonic()


async def test_whoever_restores_waits_for_what_is_undecided(kafka: str) -> None:
    """What a changelog ends with may be committed and not visible yet, long after the positions are."""
    async with opened(kafka, clock=HastyClock()) as scene:
        topic = await scene.topic()
        source = TopicPartition(topic, 0)
        await scene.log.append([batch_of(topic, b"seen")])
        producer = Producer(scene.log._cluster, transactional_id=f"slow-{topic}", transaction_timeout_ms=60_000)
        await producer.initialise()
        await Transactions(scene.log._cluster, [producer])._write([batch_of(topic, b"undecided")])
        assert (await scene.log.offsets([source]))[source].end == 1
        with pytest.raises(UnavailableError, match=r"transactions over .*\[0\] are undecided"):
            await scene.log.offsets([source], decided=True)
        await producer.initialise()  # aborts it
        assert (await scene.log.offsets([source], decided=True))[source].end > 1


def connections() -> set[AIOKafkaConnection]:
    """Return all connections to brokers that this process has."""
    return {one for one in gc.get_objects() if isinstance(one, AIOKafkaConnection) and one.connected()}


@pytest.mark.parametrize("turns", [1, 8, 20])
async def test_no_connection_outlives_the_log(scene: Scene, turns: int) -> None:
    """Also those that are being made while it is closed; turns: of the event loop, between the one and the other."""
    source = TopicPartition(await scene.topic(), 0)
    log, before = KafkaLog(scene.bootstrap), connections()
    await log.open()
    calls = [
        asyncio.ensure_future(log.offsets([source])),
        asyncio.ensure_future(log.read(source, 0, bytes_max=MIB, timeout_s=5)),
        asyncio.ensure_future(log.append([batch_of(source.topic, b"x")])),
    ]
    for _ in range(turns):
        await asyncio.sleep(0)
    await log.close()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]  # some may have been answered
    assert {type(failure) for failure in failures} <= {UnavailableError}
    assert connections() - before == set()


async def test_brokers_that_have_all_moved_are_found_again(scene: Scene) -> None:
    """Nobody whom the log knows is there any more; whoever has the bootstrap address now tells where they are."""
    source = TopicPartition(await scene.topic(), 0)
    client = scene.log._cluster.client
    for connection in connections():
        await connection.close()
    client.cluster._brokers = {node: broker._replace(port=1) for node, broker in client.cluster._brokers.items()}
    assert await scene.log.append([batch_of(source.topic, b"x")]) == [0]
