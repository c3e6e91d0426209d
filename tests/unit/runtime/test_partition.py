"""A partition number: the positions of its agents, and where messages go."""

from __future__ import annotations

import asyncio
from typing import Any

from pelton.batch import TopicPartition
from pelton.log.contract import Position
from pelton.log.partitioner import partition_for
from pelton.runtime.partition import decode_agent_positions, encode_agent_positions, route
from pelton.stream.lane import Send
from tests.unit.runtime.task_rig import SOURCE, add, agent, numbers, position, running, sent, sums


def test_positions_of_several_agents_travel_together():
    assert encode_agent_positions({"a": 5, "b": 5}) == Position(5)
    both = encode_agent_positions({"slow": 5, "fast": 12})
    assert both == Position(5, '{"fast":7}')
    assert decode_agent_positions(both, ["slow", "fast", "new"]) == {"slow": 5, "fast": 12, "new": 5}
    assert decode_agent_positions(Position(3, "somebody else's note"), ["a"]) == {"a": 3}


async def test_agents_commit_each_its_own_position():
    gate = asyncio.Event()

    async def slow(stream: Any) -> Any:
        async for number in stream:
            if number == 2:
                await gate.wait()
            yield f"slow {number}"

    async def fast(stream: Any) -> Any:
        async for number in stream:
            yield f"fast {number}"

    async with running(agent(slow, "slow"), agent(fast, "fast")) as rig:
        rig.put(numbers(0, 1, 2, 3))
        await rig.until(lambda: rig.tasks[1].idle and rig.tasks[0].positions()[SOURCE] == 2)
        staged = rig.take()
        assert position(staged) == Position(2, '{"fast":2}')
        assert sorted(map(str, sent(staged))) == sorted(
            map(str, [b"slow 0", b"slow 1", *(b"fast %d" % number for number in range(4))])
        )
        assert rig.partition.queued_bytes == 0
        gate.set()
        await rig.idle()
        staged = rig.take()
        assert (position(staged), sent(staged)) == (Position(4), [b"slow 2", b"slow 3"])


async def test_nothing_is_staged_twice_and_nothing_when_there_is_nothing():
    async def total(stream: Any) -> None:
        async for number in stream:
            add(b"all", number)

    async with running(agent(total)) as rig:
        assert not rig.partition.staged
        rig.put(numbers(1, 2))
        await rig.idle()
        assert rig.partition.staged
        assert sums(rig.take()) == {b"all": b"3"}
        assert not rig.partition.staged
        assert rig.partition.stage(0) is None
        staged = await rig.done(numbers(3, first=2))
        assert sums(staged) == {b"all": b"6"}


def message(key: bytes | None, partition: int | None = None, value: bytes = b"v", topic: str = "t") -> Send:
    return Send(topic, partition, key, value, 7, ())


def test_messages_go_where_their_key_or_their_sender_says():
    sends = [
        (0, [message(b"a", value=b"1"), message(None, value=b"2"), message(b"a", 3, b"3")]),
        (6, [message(b"a", value=b"4"), message(None, value=b"5"), message(b"x", topic="u")]),
    ]
    batches = {TopicPartition(batch.topic, batch.partition): batch.values for batch in route(sends, {"t": 4, "u": 1})}
    wanted: dict[TopicPartition, list[bytes]] = {}
    for own, key, explicit, value in [
        (0, b"a", None, b"1"),
        (0, None, None, b"2"),
        (0, b"a", 3, b"3"),
        (6, b"a", None, b"4"),
        (6, None, None, b"5"),
    ]:
        number = explicit if explicit is not None else own % 4 if key is None else partition_for(key, 4)
        wanted.setdefault(TopicPartition("t", number), []).append(value)
    assert batches == {**wanted, TopicPartition("u", 0): [b"v"]}
