"""Reads what a soak has left behind, for the judge to compare with what the oracle recomputes."""

from __future__ import annotations

import re
from collections import defaultdict

import msgspec

from tests.chaos.oracle import Verdict, judge_collection, judge_input, judge_sequences, judge_table
from tests.chaos.report import Report
from tests.kill.kill_oracle import Expected, replay
from tests.kill.kill_process import PROGRAM, Record, Scene, folded_state, read_letters, sums_in, windows_in

Sent = dict[str, list[bytes]]

_ACCOUNT = re.compile(rb'"account":"([^"]+)"')


async def judge(scene: Scene, seed: int, data: str, report: Report) -> None:
    """Add the verdicts to a report. data: the data directory of the worker that was the last to run."""
    inputs = [[record.value or b"" for record in part] for part in await scene.read(scene.source(0).topic)]
    judged = [judge_input(seed, number, values) for number, values in enumerate(inputs)]
    expected = [replay(values, PROGRAM, alert_from=1) for values in inputs]
    report.events = sum(map(len, inputs))
    report.repeated = sum(repeated for _, repeated in judged)
    report.windows = sum(one.window_count for one in expected)
    verdicts = report.verdicts
    verdicts["input"] = sum((verdict for verdict, _ in judged), Verdict())
    warnings = by_account([one.warnings for one in expected])
    verdicts["windows"] = judge_sequences("windows", warnings, by_key(await scene.read(f"{scene.run}-warnings")))
    copies = by_account([one.copies for one in expected])
    verdicts["copies"] = judge_sequences("copies", copies, by_key(await scene.read(f"{scene.run}-copies")))
    letters = [(number, *letter) for number, one in enumerate(expected) for letter in one.letters]
    verdicts["letters"] = judge_collection("dead letters", letters, await read_letters(scene))
    verdicts["changelogs"] = _judge_tables("changelog", expected, await folded_state(scene))
    verdicts["stores"] = _judge_tables("store", expected, scene.state(data))


def by_account(partitions: list[list[bytes]]) -> Sent:
    """Return account -> what is due to it, in order; an account is of one partition only."""
    sent: defaultdict[str, list[bytes]] = defaultdict(list)
    for values in partitions:
        for value in values:
            found = _ACCOUNT.search(value)
            assert found is not None, value
            sent[found[1].decode()].append(value)
    return dict(sent)


def by_key(partitions: list[list[Record]]) -> Sent:
    """Return key -> the values sent under it, in order."""
    sent: defaultdict[str, list[bytes]] = defaultdict(list)
    for records in partitions:
        for record in records:
            sent[(record.key or b"").decode()].append(record.value or b"")
    return dict(sent)


def _judge_tables(what: str, expected: list[Expected], found: list[dict[str, dict[bytes, bytes]]]) -> Verdict:
    verdict = Verdict()
    for number, (one, tables) in enumerate(zip(expected, found, strict=True)):
        verdict += judge_table(f"{what} {number} windows", one.windows, windows_in(tables), _count)
        verdict += judge_table(f"{what} {number} sums", one.sums, sums_in(tables), int)
    return verdict


def _count(window: bytes) -> int:
    return int(msgspec.json.decode(window)["count"])
