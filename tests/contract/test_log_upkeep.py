"""One suite over both homes of the log: its topics looked at and changed from outside."""

from __future__ import annotations

import pytest

from pelton.batch import TopicPartition
from pelton.errors import ConfigurationError
from pelton.log.contract import TopicSpec
from pelton.log.upkeep import Upkeep
from tests.contract.log_scene import MIB, Scene, together
from tests.patience import PATIENCE_S

#: The log in memory is made for one test, and nobody keeps it in order.
pytestmark = pytest.mark.several_members


def kept(scene: Scene) -> Upkeep:
    assert isinstance(scene.log, Upkeep)
    return scene.log


async def test_a_topic_is_told_as_it_was_declared(scene: Scene) -> None:
    topic = await scene.topic(3, retention_ms=None)
    other = f"{topic}-other"
    spec = TopicSpec(other, 2, None, "compact,delete", 3_600_000, {"max.message.bytes": "2000"})
    await scene.log.declare([spec])
    found = await kept(scene).states(iter([other, "nowhere", topic]))
    assert {name: state.partitions for name, state in found.items()} == {topic: 3, other: 2}
    assert found[other].replicas in (None, 1)
    assert found[other].config["cleanup.policy"] == "compact,delete"
    assert found[other].config["retention.ms"] == "3600000"
    assert found[other].config["max.message.bytes"] == "2000"
    assert found[topic].config["retention.ms"] in ("604800000", "-1"), "the log's default is told too"
    await scene.log.delete_topics([other])


async def test_what_is_changed_is_changed_and_nothing_else(scene: Scene) -> None:
    topic = await scene.topic(1)
    before = (await kept(scene).states([topic]))[topic].config
    changed = {"retention.ms": "86400000000000", "max.message.bytes": "3000", "message.timestamp.type": "LogAppendTime"}
    await kept(scene).configure(topic, changed)
    assert (await kept(scene).states([topic]))[topic].config == {**before, **changed}
    await scene.append(topic, b"old")  # its timestamp is of 1970
    back = {"message.timestamp.type": "CreateTime", "cleanup.policy": "compact"}
    await kept(scene).configure(topic, back)
    assert (await kept(scene).states([topic]))[topic].config == {**before, **changed, **back}
    batch = await scene.log.read(TopicPartition(topic, 0), 0, bytes_max=MIB, timeout_s=PATIENCE_S)
    assert batch.log_time_ms(0) > 1_600_000_000_000, "the log's own time was in force when it was appended"


async def test_for_how_long_a_topic_says_that_a_key_is_gone(scene: Scene) -> None:
    topic = await scene.topic(1, cleanup_policy="compact")
    other = f"{topic}-other"
    spec = TopicSpec(other, 1, cleanup_policy="compact", config={"delete.retention.ms": "90000"})
    await scene.log.declare([spec])
    assert await scene.log.deletions_ms([topic, other, "nowhere"]) == {topic: 86_400_000, other: 90_000}
    await kept(scene).configure(other, {"delete.retention.ms": "100000"})
    await scene.log.declare([spec])  # what exists keeps what it has
    assert await scene.log.deletions_ms([other]) == {other: 100_000}
    await scene.log.delete_topics([other])


@pytest.mark.parametrize("config", [{"no.such.setting": "1"}, {"retention.ms": "soon"}])
async def test_what_the_log_does_not_take_is_refused(scene: Scene, config: dict[str, str]) -> None:
    topic = await scene.topic(1)
    before = await kept(scene).states([topic])
    with pytest.raises(ConfigurationError):
        await kept(scene).configure(topic, config)
    assert await kept(scene).states([topic]) == before


async def test_more_partitions_keep_what_is_there(scene: Scene) -> None:
    topic = await scene.topic(2)
    await scene.append(topic, b"one")
    await kept(scene).grow(topic, 4)
    assert await scene.log.partitions([topic]) == {topic: 4}
    assert await scene.values(topic) == [b"one"]
    for count in (4, 3):
        with pytest.raises(ConfigurationError):
            await kept(scene).grow(topic, count)


async def test_the_servers_tell_of_themselves(scene: Scene) -> None:
    found = await kept(scene).servers()
    assert bool(found) != scene.sqlite
    for server in found:
        assert int(server.config["min.insync.replicas"]) >= 1
        assert server.features["metadata.version"][1] > 0
        assert server.requests[28] >= 3, "a transaction with the group's generation"
        assert all(0 < disk.free_bytes <= disk.total_bytes for disk in server.disks)
        assert server.disks


async def test_who_will_not_be_back_is_taken_out_by_name(scene: Scene) -> None:
    topic = await scene.topic(4)
    group = f"group-{topic}"
    first = await scene.join(topic, instance_id="first", returns=True)
    second = await scene.join(
        topic, instance_id="second", returns=True, log=await scene.connect(), session_timeout_ms=10 * 60_000
    )
    await together([first, second], lambda: len(first.numbers) == len(second.numbers) == 2)
    await second.group.leave()
    # Its place is kept for ten minutes, unless somebody says that it will not be back.
    assert await kept(scene).dismiss(group, "second")
    await first.until(lambda: first.numbers == {0, 1, 2, 3})
    assert not await kept(scene).dismiss(group, "second")
    assert not await kept(scene).dismiss(group, "nobody")
    assert not await kept(scene).dismiss(f"{group}-unknown", "first")


async def test_one_that_lives_joins_again_when_it_is_taken_out(scene: Scene) -> None:
    topic = await scene.topic(1)
    member = await scene.member(topic, instance_id="one", returns=True, log=await scene.connect())
    before = len(member.called("assigned"))
    assert await kept(scene).dismiss(f"group-{topic}", "one")
    await member.until(lambda: len(member.called("assigned")) > before and member.numbers == {0})
