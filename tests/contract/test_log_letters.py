"""Dead letters are looked through, replayed and discarded on both logs, each exactly once, whatever is killed."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio

from pelton.batch import Headers, OutgoingBatch, RecordBatch, TopicPartition
from pelton.clock import SystemClock
from pelton.errors import ConfigurationError, DecodeError, FencedError
from pelton.log.contract import TopicSpec
from pelton.log.partitioner import partition_for
from pelton.runtime.deadletter import dead_letter
from pelton.runtime.letters import Letter, LetterBox, LetterQuery, Mark, Number
from pelton.runtime.settling import Edit, Settled, discard, replay
from tests.contract.log_scene import REPOSITORY, Scene
from tests.patience import PATIENCE_S

pytestmark = [pytest.mark.timeout(400), pytest.mark.several_members]

CLOCK = SystemClock()
ALL = LetterQuery()
COMMAND = (sys.executable, "-m", "faust", "-A", "tests.contract.dlq_program", "dlq")


class Desk:
    """An application with a topic and dead letters of it."""

    def __init__(self, scene: Scene, datadir: Path) -> None:
        self.scene = scene
        self.datadir = datadir
        self.app_id = f"app-{uuid4().hex[:8]}"
        self.orders = f"{self.app_id}-orders"

    async def declare(self) -> None:
        letters = [f"{self.app_id}-dlq", f"{self.app_id}-dlq-done"]
        await self.scene.log.declare(
            [TopicSpec(self.orders, 2, retention_ms=-1), TopicSpec(letters[0], 2, retention_ms=-1)]
        )
        self.topics = [self.orders, *letters]

    async def kill_off(
        self, *values: bytes | None, agent: str = "a", error: Exception | None = None, headers: Headers = ()
    ) -> None:
        """Make dead letters of records of partition 1; the letters take turns over two partitions."""
        count = len(values)
        timestamps = [1_000 + row for row in range(count)]
        records = RecordBatch(
            self.orders, 1, list(range(count)), timestamps, [b"k"] * count, values, count, [headers] * count
        )
        out = [OutgoingBatch(f"{self.app_id}-dlq", number) for number in range(2)]
        for row in range(count):
            letter = dead_letter("", records, row, agent, error or ValueError("unlucky"), 3)
            out[row % 2].append(letter.key, letter.value, letter.timestamp_ms, letter.headers)
        await self.scene.log.append([batch for batch in out if len(batch)])

    async def find(self, query: LetterQuery = ALL) -> list[Letter]:
        return [letter async for letter in LetterBox(self.scene.log, self.app_id).find(query)]

    async def values(self, query: LetterQuery = ALL) -> list[bytes | None]:
        return [letter.value for letter in await self.find(query)]

    async def replay(
        self, query: LetterQuery = ALL, to: str | None = None, edits: Mapping[Number, Edit] | None = None
    ) -> Settled:
        return await replay(self.scene.log, self.app_id, query, CLOCK, lambda _: None, to=to, edits=edits)

    async def discard(self, query: LetterQuery = ALL) -> Settled:
        return await discard(self.scene.log, self.app_id, query, CLOCK, lambda _: None, reason="rubbish")

    async def replayed(self) -> list[bytes | None]:
        return await self.scene.values(self.orders, 1)

    def environment(self) -> dict[str, str]:
        return os.environ | {
            "DLQ_APP": self.app_id,
            "BROKER_URL": self.scene.address,
            "APP_DATADIR": str(self.datadir),
            "PYTHONPATH": f"{REPOSITORY / 'src'}:{REPOSITORY}",
        }

    async def command(self, *words: str) -> Process:
        """Start `faust -A … dlq …` on this application."""
        return await asyncio.create_subprocess_exec(
            *(*COMMAND, *words), cwd=REPOSITORY, env=self.environment(), stdin=PIPE, stdout=PIPE, stderr=PIPE
        )

    async def run(self, *words: str, answer: str = "") -> tuple[int, str, str]:
        process = await self.command(*words)
        out, err = await process.communicate(answer.encode())
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()


@pytest_asyncio.fixture
async def desk(scene: Scene, tmp_path: Path) -> AsyncIterator[Desk]:
    made = Desk(scene, tmp_path / "data")
    await made.declare()
    yield made
    await scene.log.delete_topics(made.topics)


async def test_a_letter_holds_the_record_and_the_reason(desk: Desk) -> None:
    await desk.kill_off(b"\xff", error=DecodeError("no JSON", hint="look"), headers=(("trace", b"7"),))
    (letter,) = await desk.find()
    assert letter.number == Number(0, 0)
    assert (letter.topic, letter.partition, letter.offset) == (desk.orders, 1, 0)
    assert (letter.key, letter.value, letter.timestamp_ms) == (b"k", b"\xff", 1_000)
    assert letter.headers == (("trace", b"7"),), "only the record's own"
    assert (letter.agent, letter.kind, letter.attempts) == ("a", "decode", 3)
    assert letter.error == "DecodeError: no JSON\nhint: look"
    assert letter.mark is None


async def test_a_stranger_s_record_is_a_letter_too(desk: Desk) -> None:
    await desk.scene.append(f"{desk.app_id}-dlq", b"who?")
    (letter,) = await desk.find()
    assert (letter.topic, letter.partition, letter.error) == ("", -1, "")
    with pytest.raises(ConfigurationError, match="does not say which topic"):
        await desk.replay()
    assert (await desk.replay(to=desk.orders)).count == 1


async def test_filters(desk: Desk) -> None:
    await desk.kill_off(b"0", b"1", b"2")
    await desk.kill_off(b"x", agent="b", error=TypeError("Other"))
    assert sorted(await desk.values()) == [b"0", b"1", b"2", b"x"]
    assert await desk.values(LetterQuery(agent="b")) == [b"x"]
    assert await desk.values(LetterQuery(error="typeerror: other")) == [b"x"]
    assert await desk.values(LetterQuery(topic="elsewhere")) == []
    assert await desk.values(LetterQuery(since_ms=1_002)) == [b"2"]
    assert len(await desk.values(LetterQuery(limit=2))) == 2
    assert await desk.values(LetterQuery(frozenset({Number(1, 0)}))) == [b"1"]
    assert await desk.values(LetterQuery(frozenset({Number(9, 0), Number(0, 99)}))) == []


async def test_a_replayed_record_is_as_it_was(desk: Desk) -> None:
    await desk.kill_off(b"v", None, headers=(("trace", b"7"), ("trace", b"8")))
    settled = await desk.replay()
    assert (settled.count, settled.by_topic) == (2, {desk.orders: 2})
    batch = await desk.scene.log.read(TopicPartition(desk.orders, 1), 0, bytes_max=1 << 20, timeout_s=5)
    assert (list(batch.keys), list(batch.values), list(batch.timestamps_ms)) == (
        [b"k"] * 2,
        [b"v", None],
        [1_000, 1_001],
    )
    assert batch.headers is not None
    assert [tuple(headers) for headers in batch.headers] == [(("trace", b"7"), ("trace", b"8"))] * 2


async def test_an_edited_record_goes_back_as_it_was_edited(desk: Desk) -> None:
    await desk.kill_off(b"bad", b"bad", b"other", headers=(("trace", b"7"),))
    same_key, other_key = Number(0, 0), Number(1, 0)
    edits = {same_key: Edit(b"k", b"good", ()), other_key: Edit(b"key-1", None, (("by", b"hand"),))}
    assert (await desk.replay(edits=edits)).count == 3
    moved = partition_for(b"key-1", 2)
    assert moved == 0, "the key that it has now decides, not the partition that it came from"
    batch = await desk.scene.log.read(TopicPartition(desk.orders, moved), 0, bytes_max=1 << 20, timeout_s=5)
    assert (list(batch.keys), list(batch.values), batch.headers) == ([b"key-1"], [None], [(("by", b"hand"),)])
    assert sorted(await desk.replayed()) == [b"good", b"other"]
    marks = {letter.number: letter.mark for letter in await desk.find(LetterQuery(settled=True))}
    assert [mark is not None and mark.edited for _, mark in sorted(marks.items())] == [True, False, True]


async def test_nothing_is_replayed_twice(desk: Desk) -> None:
    await desk.kill_off(b"0", b"1", b"2")
    assert (await desk.replay()).count == 3
    assert (await desk.replay()).count == 0
    await desk.kill_off(b"new")
    assert (await desk.replay()).count == 1
    assert sorted(await desk.replayed()) == [b"0", b"1", b"2", b"new"]
    assert await desk.find() == []
    marks = [letter.mark for letter in await desk.find(LetterQuery(settled=True))]
    assert [mark.how for mark in marks if mark] == ["replayed"] * 4


async def test_letters_are_chosen_one_by_one_in_any_order(desk: Desk) -> None:
    await desk.kill_off(*(b"%d" % number for number in range(8)))
    for chosen in (Number(0, 2), Number(1, 0), Number(0, 0)):
        assert (await desk.replay(LetterQuery(frozenset({chosen})))).count == 1
    assert await desk.replayed() == [b"4", b"1", b"0"]
    again = await desk.replay(LetterQuery(frozenset({Number(0, 2), Number(0, 77)})))
    assert (again.count, again.missing) == (0, [Number(0, 77)])
    assert again.before[Number(0, 2)].how == "replayed"
    assert (await desk.replay()).count == 5
    assert sorted(await desk.replayed()) == [b"%d" % number for number in range(8)]


async def test_a_discarded_letter_is_not_replayed(desk: Desk) -> None:
    await desk.kill_off(b"0", b"bad", b"2")
    await desk.discard(LetterQuery(frozenset({Number(1, 0)})))
    await desk.replay()
    assert sorted(await desk.replayed()) == [b"0", b"2"]
    (mark,) = [one.mark for one in await desk.find(LetterQuery(settled=True)) if one.value == b"bad"]
    assert isinstance(mark, Mark)
    assert (mark.how, mark.reason) == ("discarded", "rubbish")


async def test_what_cannot_go_back_stays(desk: Desk) -> None:
    await desk.kill_off(b"0")
    with pytest.raises(ConfigurationError, match="there is no topic 'nowhere'"):
        await desk.replay(to="nowhere")
    assert await desk.values() == [b"0"]


async def test_an_application_without_letters(desk: Desk) -> None:
    with pytest.raises(ConfigurationError, match="no dead letters"):
        await replay(desk.scene.log, "nobody", ALL, CLOCK, lambda _: None)


async def test_a_later_run_takes_over(desk: Desk) -> None:
    """Between two transactions of a run another one settles all the rest: the first may not go on."""
    await desk.kill_off(*(b"%d" % number for number in range(700)))
    runs: list[int] = []

    def run_another(_: int) -> None:
        words = (*COMMAND, "replay", "--yes")
        runs.append(
            subprocess.run(words, cwd=REPOSITORY, env=desk.environment(), timeout=PATIENCE_S, check=False).returncode
        )

    with pytest.raises(FencedError):
        await replay(desk.scene.log, desk.app_id, ALL, CLOCK, run_another)
    assert runs == [0]
    assert sorted(await desk.replayed(), key=lambda value: int(value or 0)) == [b"%d" % n for n in range(700)]


async def test_killed_again_and_again(desk: Desk) -> None:
    count = 3_000
    await desk.kill_off(*(b"%d" % number for number in range(count)))
    kills = 0
    while True:
        process = await desk.command("replay", "--yes")
        assert process.stderr is not None
        for _ in range(2):
            line = await process.stderr.readline()
        if not line:
            break
        process.kill()
        kills += 1
        await process.wait()
    assert await process.wait() == 0
    assert kills >= 2
    assert sorted(await desk.replayed(), key=lambda value: int(value or 0)) == [b"%d" % n for n in range(count)]


async def test_the_commands(desk: Desk) -> None:
    await desk.kill_off(b'{"amount": 7}', b"\xff\x00", headers=(("trace", b"\x1b[2J"), ("\udcff", None)))
    status, out, _ = await desk.run("list")
    assert status == 0
    assert all(text in out for text in ("0:0", "1:0", desk.orders, "ValueError: unlucky", "2 letter(s)")), out
    status, out, _ = await desk.run("list", "--limit", "1", "--json")
    assert json.loads(out)["number"] == "0:0"

    status, out, _ = await desk.run("show", "0:0", "1:0")
    assert status == 0
    assert "Order(amount=7)" in out
    assert "ff 00" in out
    assert "not UTF-8" in out
    assert "could not decode 2 bytes" in out
    assert "\x1b" not in out, "a record must not steer the terminal"
    assert r"\xff: null" in out, "a header's name may be no text"
    status, out, _ = await desk.run("show", "0:0", "--json")
    shown = json.loads(out)
    assert (shown["value"]["text"], shown["key"]["hex"]) == ('{"amount": 7}', "6b")
    assert shown["headers"][1] == {"name": r"\xff", "hex": None, "text": None}
    assert (await desk.run("show", "0:7"))[::2] == (1, "error: there is no dead letter 0:7\n")
    assert "hint: expected partition:offset" in (await desk.run("show", "seven"))[2]

    assert (await desk.run("discard", "1:0", "--reason", "no JSON", answer="n\n"))[0] == 1
    assert len(await desk.find()) == 2, "not without a yes"
    assert (await desk.run("discard", "1:0", "--reason", "no JSON", answer="y\n"))[0] == 0
    status, out, _ = await desk.run("replay", "--yes")
    assert (status, out) == (0, "replayed 1 letter(s)\n")
    assert await desk.replayed() == [b'{"amount": 7}']
    assert (await desk.run("list"))[1] == "no dead letters\n"
    assert "[discarded]" in (await desk.run("list", "--all"))[1]
