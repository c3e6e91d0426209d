"""The logs of a bank's services, each in its own format, with incidents: a pure function of a plan and a number.

Six services write at a steady rate. In every ten minutes, payments loses its database for forty seconds (a burst of
errors), notifications says nothing for two and a half minutes (silence), and from the second time on the ledger says
something that it never said before (a new template).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from random import Random

import msgspec

__all__ = ["SERVICES", "ServicesPlan", "WrittenLine", "lines_from"]

CYCLE_S = 600.0
OUTAGE_S = (240.0, 280.0)
SILENCE_S = (360.0, 510.0)


@dataclass(frozen=True, slots=True)
class ServicesPlan:
    """What the lines follow from. rate: lines a second of event time; start: of the first, seconds since the epoch."""

    seed: int
    rate: float
    start: float


@dataclass(frozen=True, slots=True)
class WrittenLine:
    """A line as a service wrote it. source: the service; ts: when, seconds since the epoch."""

    source: str
    text: str
    ts: float


def lines_from(plan: ServicesPlan) -> Iterator[WrittenLine]:
    """Yield all lines, in the order of their times, without end."""
    for number in count():
        ts = round(plan.start + number / plan.rate, 3)
        rng = Random(f"{plan.seed}/line/{number}")  # noqa: S311 - it has to be reproducible, not secret
        second, cycle = (ts - plan.start) % CYCLE_S, int((ts - plan.start) // CYCLE_S)
        name = rng.choice(SERVICES)
        if OUTAGE_S[0] <= second < OUTAGE_S[1] and rng.random() < 0.5:
            name = "payments"
        if SILENCE_S[0] <= second < SILENCE_S[1] and name == "notifications":
            name = "gateway"
        yield WrittenLine(name, _WRITERS[name](rng, ts, second, cycle), ts)


def _iso(ts: float) -> str:
    return datetime.fromtimestamp(ts, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _gateway(rng: Random, ts: float, second: float, cycle: int) -> str:
    """Write an access log line in the combined format."""
    at = datetime.fromtimestamp(ts, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000")
    path = rng.choice(("/accounts/{n}", "/accounts/{n}/balance", "/payments", "/login", "/cards/{n}/limits"))
    method = "POST" if path in ("/payments", "/login") else "GET"
    status = rng.choices((200, 201, 401, 404, 502), (900, 60, 20, 15, 5))[0]
    path = path.format(n=rng.randrange(10_000, 99_999))
    return (
        f'10.0.{rng.randrange(256)}.{rng.randrange(256)} - - [{at}] "{method} {path} HTTP/1.1" {status} '
        f'{rng.randrange(200, 9_000)} "-" "bank-app/{rng.choice(("4.1", "4.2", "5.0"))}"'
    )


def _payments(rng: Random, ts: float, second: float, cycle: int) -> str:
    """Write JSON."""
    if OUTAGE_S[0] <= second < OUTAGE_S[1]:
        message = f"could not reach the database after {rng.randrange(2, 9)} attempts: connection refused"
        return _json(ts, "error", "payments", message, db="payments-primary")
    kind = rng.random()
    number = rng.randrange(10**8)
    if kind < 0.01:
        return _json(ts, "error", "payments", f"payment {number} was refused by the scheme: code {rng.randrange(60)}")
    if kind < 0.5:
        return _json(ts, "info", "payments", f"payment {number} accepted", amount=round(rng.lognormvariate(3, 1), 2))
    return _json(ts, "info", "payments", f"payment {number} settled in {rng.randrange(20, 400)} ms")


def _json(ts: float, level: str, service: str, message: str, **fields: object) -> str:
    content = {"ts": _iso(ts), "level": level, "service": service, "msg": message, **fields}
    return msgspec.json.encode(content).decode()


def _ledger(rng: Random, ts: float, second: float, cycle: int) -> str:
    """Write logfmt."""
    level, message = "info", f"posted batch {rng.randrange(10**6)} with {rng.randrange(1, 500)} entries"
    if cycle and second > CYCLE_S - 60 and rng.random() < 0.2:
        level, message = "warn", f"ledger version {cycle} deprecates account class {rng.randrange(9)}, please migrate"
    elif rng.random() < 0.3:
        message = f"closed hour {rng.randrange(24)} in balance"
    return f'time={_iso(ts)} level={level} service=ledger msg="{message}" shard={rng.randrange(4)}'


def _auth(rng: Random, ts: float, second: float, cycle: int) -> str:
    """Write syslog as in RFC 5424."""
    user = f"user{rng.randrange(1_000)}"
    severity, message = 6, f"session opened for {user}"
    if rng.random() < 0.05:
        severity, message = 4, f"failed password for {user} from 10.1.{rng.randrange(256)}.{rng.randrange(256)}"
    ip = f"10.1.{rng.randrange(256)}.{rng.randrange(256)}"
    return f'<{32 + severity}>1 {_iso(ts)} auth-1 auth {rng.randrange(100, 999)} LOGIN [client ip="{ip}"] {message}'


def _cards(rng: Random, ts: float, second: float, cycle: int) -> str:
    """Write text with a time and a level in front, as programs on the JVM do."""
    at = datetime.fromtimestamp(ts, UTC).strftime("%Y-%m-%d %H:%M:%S") + f",{int(ts * 1000) % 1000:03d}"
    if rng.random() < 0.02:
        return f"[{at}] WARN Slow response of the card scheme: {rng.randrange(800, 3_000)} ms (bank.cards.Scheme)"
    return f"[{at}] INFO Authorised card {rng.randrange(10**6)} for terminal {rng.randrange(500)} (bank.cards.Switch)"


def _notifications(rng: Random, ts: float, second: float, cycle: int) -> str:
    """Write JSON with other names and numbers for levels, as pino does."""
    way = rng.choice(("push", "mail", "text"))
    content = {"time": int(ts * 1000), "level": 30, "name": "notifications", "msg": f"sent {way} to device"}
    return msgspec.json.encode(content).decode()


_WRITERS: dict[str, Callable[[Random, float, float, int], str]] = {
    "gateway": _gateway,
    "payments": _payments,
    "ledger": _ledger,
    "auth": _auth,
    "cards": _cards,
    "notifications": _notifications,
}
SERVICES = tuple(_WRITERS)
