"""Workload W1: what goes in, what must come out, and whether it did.

A record is a card transaction of about 190 bytes of JSON, keyed by account. Every system keeps, per account, the count
and the sum of the amounts in a 60 s tumbling window of event time, and raises an alert for each amount over the 99th
percentile.

Everything here is a pure function of a `Workload`, and the oracle shares no code with the systems it judges. This
module opens no log: it takes and gives bytes.
"""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

from aiokafka.partitioner import murmur2

__all__ = [
    "ALERT_ABOVE",
    "WINDOW_S",
    "Alert",
    "Expected",
    "InputRecord",
    "Totals",
    "Workload",
    "expected",
    "judge_alerts",
    "judge_windows",
    "last_values",
    "partition_of",
    "records",
]

#: An amount above this raises an alert: the 99th percentile of the amounts, unless the workload says otherwise.
ALERT_ABOVE = 500.0
#: Length of the tumbling windows in seconds of event time.
WINDOW_S = 60
#: Standard deviation of the logarithm of the amounts.
SIGMA = 1.1

_MERCHANTS = tuple(f"merchant-{n:04d}" for n in range(500))
_COUNTRIES = ("DE", "FR", "US", "GB", "NL", "ES", "IT", "PL")
_CATEGORIES = ("grocery", "fuel", "travel", "dining", "online")


@dataclass(frozen=True, slots=True)
class Workload:
    """The parameters that determine every byte of the input.

    records: how many transactions. accounts: how many keys, drawn uniformly.
    alert_share: the share of amounts above `ALERT_ABOVE`; 0.01 makes it the 99th percentile.
    start_ms: event time of the first record, milliseconds since the epoch; each record is `step_ms` later.
    """

    records: int = 1_000_000
    accounts: int = 10_000
    partitions: int = 4
    seed: int = 7
    alert_share: float = 0.01
    start_ms: int = 1_760_000_000_000
    step_ms: int = 1


class InputRecord(NamedTuple):
    """One record as it is written to the log."""

    partition: int
    key: bytes
    value: bytes
    timestamp_ms: int


class Alert(NamedTuple):
    """An alert as it must be published: the account's count and sum so far, this transaction included."""

    id: str
    account: str
    count: int
    sum: float


class Totals(NamedTuple):
    """What one window of one account holds in the end."""

    count: int
    sum: float


@dataclass(frozen=True, slots=True)
class Expected:
    """What a correct run publishes: all alerts, and the windows by (account, window start in seconds)."""

    alerts: Counter[Alert]
    windows: Mapping[tuple[str, int], Totals]

    @property
    def records(self) -> int:
        """How many records the windows count in total."""
        return sum(totals.count for totals in self.windows.values())


def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition that Kafka's default partitioner gives a key (murmur2, sign bit masked)."""
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)


def records(workload: Workload) -> Iterator[InputRecord]:
    """Yield the input in event-time order; the same workload always yields the same bytes."""
    draw = random.Random(workload.seed)
    mu = math.log(ALERT_ABOVE) - NormalDist().inv_cdf(1 - workload.alert_share) * SIGMA
    accounts = [f"acc-{number:06d}" for number in range(workload.accounts)]
    keys = [account.encode() for account in accounts]
    homes = [partition_of(key, workload.partitions) for key in keys]
    for number in range(workload.records):
        which = int(draw.random() * workload.accounts)
        amount = math.exp(draw.gauss(mu, SIGMA))
        bits = draw.getrandbits(32)
        timestamp_ms = workload.start_ms + number * workload.step_ms
        value = (
            f'{{"id":"tx-{number:012d}","account":"{accounts[which]}","amount":{amount:.2f},"currency":"EUR",'
            f'"merchant":"{_MERCHANTS[bits % 500]}","category":"{_CATEGORIES[(bits >> 9) % 5]}",'
            f'"country":"{_COUNTRIES[(bits >> 12) % 8]}","card":"4929-{bits >> 16:05d}-{number % 10_000:04d}",'
            f'"ts":{timestamp_ms // 1000}.{timestamp_ms % 1000:03d}}}'
        )
        yield InputRecord(homes[which], keys[which], value.encode(), timestamp_ms)


def expected(inputs: Iterable[InputRecord]) -> Expected:
    """Compute the right answer in plain Python, record by record.

    Sums are added in the order of each account's records, as every system must, so that floats compare exactly.
    """
    alerts: Counter[Alert] = Counter()
    windows: dict[tuple[str, int], list[float]] = {}
    for record in inputs:
        tx = json.loads(record.value)
        account, amount = tx["account"], tx["amount"]
        window = windows.setdefault((account, record.timestamp_ms // (WINDOW_S * 1000) * WINDOW_S), [0, 0.0])
        window[0] += 1
        window[1] += amount
        if amount > ALERT_ABOVE:
            alerts[Alert(tx["id"], account, int(window[0]), window[1])] += 1
    return Expected(alerts, {window: Totals(int(count), total) for window, (count, total) in windows.items()})


def last_values(changelog: Iterable[tuple[bytes | None, bytes | None]]) -> list[bytes]:
    """Fold a changelog, given as (key, value) in the log's order, into the last value of each key.

    A tombstone written after a value is an expired window: its last value still counts.
    """
    last: dict[bytes, bytes] = {}
    for key, value in changelog:
        if key is not None and value is not None:
            last[key] = value
    return list(last.values())


def judge_alerts(expected: Expected, published: Iterable[bytes]) -> list[str]:
    """Compare published alerts (JSON) with the expected ones, each exactly as often. Returns what is wrong."""
    found: Counter[Alert] = Counter()
    for value in published:
        alert = json.loads(value)
        found[Alert(alert["id"], alert["account"], alert["count"], alert["sum"])] += 1
    missing, surplus = expected.alerts - found, found - expected.alerts
    faults = []
    if missing:
        faults.append(f"{missing.total()} alerts lost or wrong, such as {next(iter(missing))}")
    if surplus:
        faults.append(f"{surplus.total()} alerts doubled or wrong, such as {next(iter(surplus))}")
    return faults


def judge_windows(expected: Expected, found: Iterable[Totals]) -> list[str]:
    """Compare the windows that a system kept with the expected ones. Returns what is wrong.

    Systems encode the key of a window in their own ways, so the totals are compared as a multiset, which needs no key.
    """
    wanted, kept = Counter(expected.windows.values()), Counter(found)
    faults = []
    counted = sum(totals.count * times for totals, times in kept.items())
    if counted != expected.records:
        faults.append(f"windows count {counted} records in total, expected {expected.records}")
    if wanted != kept:
        wrong = (wanted - kept).total() + (kept - wanted).total()
        faults.append(f"{wrong} windows differ, such as {next(iter((wanted - kept) or (kept - wanted)))}")
    return faults
