"""A worker to be killed: it joins a group, leaves a transaction open, says so, and waits for its end.

python kafka_member.py BOOTSTRAP TOPIC INSTANCE_ID
"""

from __future__ import annotations

import asyncio
import sys

from pelton.batch import TopicPartition
from pelton.log.contract import Position
from pelton.log.kafka.transaction import Membership
from tests.integration.kafka_scene import batch_of, opened

FOR_EVER_MS = 600_000  # longer than the test lasts


async def main(bootstrap: str, topic: str, instance_id: str) -> None:
    """Commit once, begin a transaction, and go on as a member."""
    async with opened(bootstrap) as scene:
        member = await scene.member(
            topic, instance_id=instance_id, session_timeout_ms=FOR_EVER_MS, transaction_timeout_ms=FOR_EVER_MS
        )
        await member.until(lambda: len(member.group.assignment()) == 1)
        (source,) = member.group.assignment()
        await member.group.commit([batch_of(topic, b"committed", partition=source.partition)], {source: Position(1)})
        transactions = member.group._transactions
        await transactions._write([batch_of(topic, b"never", partition=source.partition)])
        group = member.group
        membership = Membership(f"group-{topic}", group.generation, group.member_id, instance_id)
        await transactions._requests.add_offsets(transactions.producer, membership.group_id)
        await transactions._position({TopicPartition(topic, source.partition): Position(2)}, membership)
        print(source.partition, flush=True)
        await member.until(lambda: False)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
