"""The real rsyslog: it forwards to a source of ours, and writes to Kafka by itself, as docs/connect.md says."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest

import pelton
from pelton.batch import TopicPartition
from pelton.connect.syslog import Syslog, SyslogMessage
from pelton.log.contract import TopicSpec
from pelton.log.kafka import KafkaLog
from tests.compat.harness import environment, records, worker
from tests.patience import PATIENCE_S
from tests.servers import free_port, needed, rsyslog

MODULES = list(Path("/usr/lib").glob("*/rsyslog/omkafka.so"))
DOCS = Path(__file__).parents[2] / "docs" / "connect.md"


def send(port: int, *messages: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"".join(message + b"\n" for message in messages))


def listening(port: int) -> Callable[[], bool]:
    def answers() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    return answers


async def until_datagrams_arrive(port: int) -> None:
    """Wait until the source listens: a datagram that comes before is lost, and a worker is ready before its sources."""
    async with asyncio.timeout(PATIENCE_S):
        while f":{port:04X} " not in Path("/proc/net/udp").read_text():  # noqa: ASYNC110, ASYNC240
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
async def test_what_rsyslog_forwards_is_in_the_topic(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    ours, theirs = free_port(), free_port()
    app = pelton.App("logs", topic_partitions=1)
    app.source(Syslog(ours), app.topic("syslog", key_type=str, value_type=SyslogMessage))
    forward = (
        f'module(load="imtcp")\ninput(type="imtcp" port="{theirs}")\n'
        f'action(type="omfwd" target="127.0.0.1" port="{ours}" protocol="{protocol}" '
        'template="RSYSLOG_SyslogProtocol23Format" '
        'TCP_Framing="octet-counted" action.resumeRetryCount="-1" action.resumeInterval="1")\n'
    )
    async with worker(app):
        await until_datagrams_arrive(ours)
        with rsyslog(forward, listening(theirs)):
            send(
                theirs,
                b'<165>1 2026-03-01T10:00:00.5Z web1 shop 42 ID47 [a@1 k="v \\"x\\""] ordered',
                b"<34>Mar  1 10:00:01 web2 sshd[7]: refused",
            )
            async with asyncio.timeout(PATIENCE_S):
                while sum(map(len, found := await records(app, "syslog"))) < 2:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
    messages = [msgspec.json.decode(value or b"", type=SyslogMessage) for batch in found for value in batch.values]
    first, second = sorted(messages, key=lambda message: message.host)
    assert (first.host, first.app, first.pid, first.message_id, first.text) == ("web1", "shop", "42", "ID47", "ordered")
    assert (first.severity, first.facility, first.timestamp) == ("notice", 20, 1772359200.5)
    assert first.data == {"a@1": {"k": 'v "x"'}}
    assert (second.host, second.app, second.pid, second.text.strip()) == ("web2", "sshd", "7", "refused")
    assert second.severity == "critical"


async def test_rsyslog_writes_to_kafka_itself(kafka: str) -> None:
    needed("omkafka.so", "rsyslog-kafka", *MODULES)
    topic, port = f"syslog-{uuid4().hex[:8]}", free_port()
    documented = re.search(r"(    module\(load=\"omkafka\"\)\n(?:    .*\n)+)", DOCS.read_text())
    assert documented is not None
    configuration = documented[1].replace("kafka:9092", kafka).replace('topic="syslog"', f'topic="{topic}"')
    log = KafkaLog(kafka)
    await log.open()
    try:
        await log.declare([TopicSpec(topic, 1, retention_ms=-1)])
        with rsyslog(f'module(load="imtcp")\ninput(type="imtcp" port="{port}")\n{configuration}', listening(port)):
            send(port, *(b'<34>Mar  1 10:00:01 web2 app: said "%d"' % number for number in range(20)))
            found: list[dict[str, str]] = []
            async with asyncio.timeout(PATIENCE_S):
                while len(found) < 20:
                    batch = await log.read(TopicPartition(topic, 0), len(found), bytes_max=1 << 20, timeout_s=1.0)
                    found += [msgspec.json.decode(value or b"") for value in batch.values]
    finally:
        await log.delete_topics([topic])
        await log.close()
    assert sorted(one["text"].strip() for one in found) == sorted(f'said "{number}"' for number in range(20))
    assert {one["host"] for one in found} == {"web2"}
