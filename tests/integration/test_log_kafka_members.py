"""Members of a group on Kafka that have a name: restarts, take-overs, leaving."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiokafka
import pytest
import pytest_asyncio

from pelton.batch import TopicPartition
from pelton.errors import ConfigurationError, FencedError
from pelton.log.contract import Position
from tests.integration.kafka_scene import Member, Scene, batch_of, opened

ROOT = Path(__file__).parents[2]
SESSION_MS = 600_000  # longer than a test lasts


@pytest_asyncio.fixture
async def scene(kafka: str) -> AsyncIterator[Scene]:
    async with opened(kafka) as made:
        yield made


async def share(*members: Member, each: int) -> None:
    """Fetch with all members until each owns so many partitions."""

    def shared() -> bool:
        return all(len(member.group.assignment()) == each for member in members)

    await asyncio.gather(*(member.until(shared) for member in members))


async def test_killed_worker_has_its_place_back_at_once(scene: Scene) -> None:
    """Session and transaction time out after ten minutes: a restart that waited for either would not end."""
    topic = await scene.topic(2)
    other = await scene.member(topic, instance_id="other")
    victim = await asyncio.create_subprocess_exec(
        sys.executable, str(ROOT / "tests/integration/kafka_member.py"), scene.bootstrap, topic, "one",
        stdout=asyncio.subprocess.PIPE, env={"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert victim.stdout is not None
    told = asyncio.create_task(victim.stdout.readline())
    await other.until(told.done)
    source = TopicPartition(topic, int(await told))
    generation, before = other.group.generation, len(other.events)
    victim.kill()
    await victim.wait()

    again = await scene.member(topic, instance_id="one", session_timeout_ms=SESSION_MS)
    assert again.group.assignment() == {source}
    assert (await again.group.committed([source]))[source] == Position(1)
    await again.group.commit([batch_of(topic, b"after", partition=source.partition)], {source: Position(2)})

    assert again.group.generation == other.group.generation == generation
    assert len(other.events) == before
    assert [row[2] for row in await scene.everything(topic, source.partition)] == [b"committed", b"after"]


@pytest.mark.parametrize("guarantee", ["exactly_once", "at_least_once"])
async def test_one_name_one_member(scene: Scene, guarantee: str) -> None:
    topic = await scene.topic()
    source = TopicPartition(topic, 0)
    first = await scene.member(topic, instance_id="one", guarantee=guarantee)
    second = await scene.member(topic, instance_id="one", guarantee=guarantee)
    with pytest.raises(FencedError):
        await first.group.commit([], {source: Position(7)})
    with pytest.raises(FencedError):
        await first.group.commit([], {source: Position(8)})
    for _ in range(2):
        with pytest.raises(FencedError, match="another worker now"):
            await first.until(lambda: False)
    # A producer that was fenced asks the group first, and lets go meanwhile.
    assert [event[0] for event in first.events] == ["assigned", "revoked" if guarantee == "exactly_once" else "lost"]
    assert first.group.assignment() == frozenset()
    generation, before = second.group.generation, second.group.member_id
    await first.group.leave()
    await second.group.commit([], {source: Position(3)})
    assert await second.group.committed([source]) == {source: Position(3)}
    assert (second.group.generation, second.group.member_id) == (generation, before)
    assert [event[0] for event in second.events] == ["assigned"]


async def test_named_members_join_leave_and_join_again(scene: Scene) -> None:
    topic = await scene.topic(4)
    first = await scene.member(topic, instance_id="one", session_timeout_ms=SESSION_MS)
    second = await scene.join(topic, instance_id="two", session_timeout_ms=SESSION_MS)
    await share(first, second, each=2)
    await second.group.leave()
    await share(first, each=4)  # within PATIENCE_S, so no session has timed out
    again = await scene.join(topic, instance_id="two", session_timeout_ms=SESSION_MS)
    await share(first, again, each=2)
    assert not first.group.assignment() & again.group.assignment()
    assert {member.member_id for member in first.group.members()} == {first.group.member_id, again.group.member_id}


async def test_member_that_returns_keeps_its_place(scene: Scene) -> None:
    topic = await scene.topic(2)
    first = await scene.member(topic, instance_id="one")
    second = await scene.join(topic, instance_id="two", returns=True)
    await share(first, second, each=1)
    owned, generation, events = second.group.assignment(), first.group.generation, len(first.events)
    await second.group.leave()
    again = await scene.member(topic, instance_id="two", returns=True)
    assert (again.group.assignment(), again.group.generation) == (owned, generation)
    assert len(first.events) == events


@pytest.mark.parametrize(("before", "after"), [(["a"], ["a", "b"]), (["a", "b"], ["a"]), (["a"], ["b"])])
async def test_restarted_program_reads_other_topics(scene: Scene, before: list[str], after: list[str]) -> None:
    """A place that is kept comes with the assignment of the program before it."""
    topics = {"a": await scene.topic(), "b": await scene.topic()}
    group = f"group-{topics['a']}"
    old = await scene.member(*[topics[t] for t in before], instance_id="one", returns=True, group_id=group)
    await old.group.leave()
    new = await scene.member(*[topics[t] for t in after], instance_id="one", returns=True, group_id=group)
    assert new.group.assignment() == {TopicPartition(topics[t], 0) for t in after}
    for topic in after:
        await scene.log.append([batch_of(topics[topic], b"x")])
    await new.records(len(after))


async def test_others_learn_the_new_address(scene: Scene) -> None:
    topic = await scene.topic(2)
    first = await scene.member(topic, instance_id="one", address="a:1")
    second = await scene.join(topic, instance_id="two", address="b:1", returns=True)
    await share(first, second, each=1)
    await second.group.leave()
    again = await scene.join(topic, instance_id="two", address="b:2", returns=True)
    await asyncio.gather(
        again.until(lambda: len(again.group.assignment()) == 1),
        first.until(lambda: {member.address for member in first.group.members()} == {"a:1", "b:2"}),
    )


async def test_fenced_producer_of_a_member_goes_on(scene: Scene) -> None:
    """A broker fences the producer of a transaction that took too long: the member must not stay without work."""
    topic = await scene.topic()
    source = TopicPartition(topic, 0)
    member = await scene.member(topic, instance_id="one", transactional_id=f"tx-{topic}")
    await member.group.commit([batch_of(topic, b"1")], {source: Position(1)})
    await (await scene.join(topic, group_id=f"other-{topic}", transactional_id=f"tx-{topic}")).group.leave()
    with pytest.raises(FencedError):
        await member.group.commit([batch_of(topic, b"2")], {source: Position(2)})
    await member.until(lambda: len(member.events) == 3)
    assert [event[0] for event in member.events] == ["assigned", "revoked", "assigned"]
    await member.group.commit([batch_of(topic, b"2")], {source: Position(2)})


async def test_nothing_frightens_the_reader_of_the_log(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    topic = await scene.topic(2)
    first = await scene.member(topic)
    second = await scene.join(topic, instance_id="two")
    await share(first, second, each=1)
    await second.group.leave()
    await share(first, each=2)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_group_of_other_consumers_is_refused_and_says_what_to_do(scene: Scene) -> None:
    """As where a program has moved from Faust, and its old workers still run."""
    topic = await scene.topic()
    async with aiokafka.AIOKafkaConsumer(topic, bootstrap_servers=scene.bootstrap, group_id=f"group-{topic}") as other:
        await other.getmany(timeout_ms=100)
        member = await scene.join(topic)
        with pytest.raises(ConfigurationError, match=r"INCONSISTENT_GROUP_PROTOCOL[\s\S]*consumers of another kind"):
            await member.until(lambda: False)


async def test_a_session_that_the_broker_does_not_allow(scene: Scene) -> None:
    member = await scene.join(await scene.topic(), session_timeout_ms=10)
    with pytest.raises(ConfigurationError, match=r"INVALID_SESSION_TIMEOUT[\s\S]*broker_session_timeout"):
        await member.until(lambda: False)
