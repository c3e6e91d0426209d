"""Lines of every format, real ones among them, come to one shape; none is refused."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.commands.ship import pieces
from app.logformats import parse
from app.models import LogLine

DATA = Path(__file__).parent / "data"
#: 2026-11-29, behind all times in the samples.
SHIPPED = 1_795_910_400.0
#: 2026-01-05 12:00 UTC.
NOON = 1_767_614_400.0


def read(text: str, source: str = "file") -> LogLine:
    return parse(text, source, SHIPPED)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            '{"ts":"2026-01-05T12:00:00Z","level":"error","service":"payments","msg":"refused","code":5,"tags":["a"]}',
            LogLine("payments", "error", "refused", NOON, "json", fields={"code": "5", "tags": '["a"]'}),
        ),
        (
            '{"time":1767614400000,"level":40,"name":"mailer","hostname":"h1","msg":"slow"}',
            LogLine("mailer", "warning", "slow", NOON, "json", "h1"),
        ),
        (
            'time=2026-01-05T13:00:00+01:00 level=warn service=ledger msg="a \\"b\\" c" shard=2',
            LogLine("ledger", "warning", 'a "b" c', NOON, "logfmt", fields={"shard": "2"}),
        ),
        (
            '<34>1 2026-01-05T12:00:00.000Z host su - ID47 [a x="1\\"2]" y="z"][b] \ufeff\'su root\' failed',
            LogLine(
                "su", "critical", "'su root' failed", NOON, "rfc5424", "host",
                {"x": '1"2]', "y": "z", "msgid": "ID47"},
            ),
        ),
        ("<14>1 - - - - - -", LogLine("file", "info", "", SHIPPED, "rfc5424")),
        (
            '192.0.2.7 - ann [05/Jan/2026:12:00:00 +0000] "GET /a?b=\\"c HTTP/1.1" 502 17 "-" "curl/8"',
            LogLine(
                "file", "error", 'GET /a?b=\\"c HTTP/1.1 502', NOON, "access",
                fields={"client": "192.0.2.7", "user": "ann", "status": "502", "bytes": "17", "agent": "curl/8"},
            ),
        ),
        (
            '192.0.2.7 - - [05/Jan/2026:14:00:00 +0200] "GET / HTTP/1.1" 304 -',
            LogLine(
                "file", "info", "GET / HTTP/1.1 304", NOON, "access",
                fields={"client": "192.0.2.7", "status": "304"},
            ),
        ),
        (
            "[2026-01-05 12:00:00,250] WARN [Broker id=1] slow (kafka.server.Broker)",
            LogLine(
                "file", "warning", "[Broker id=1] slow", NOON + 0.25, "text",
                fields={"logger": "kafka.server.Broker"},
            ),
        ),
        ("2026-01-05 12:00:00 status installed x", LogLine("file", "info", "status installed x", NOON, "text")),
        ("[2026-01-05 12:00:00,000] [17] [ERROR] [^App]: x", LogLine("file", "error", "[^App]: x", NOON, "text")),
        ("\x1b[31mno time at all\x1b[0m", LogLine("file", "info", "no time at all", SHIPPED, "text")),
        ("0%\r50%\r100%", LogLine("file", "info", "100%", SHIPPED, "text")),
    ],
)  # fmt: skip
def test_one_shape(text: str, expected: LogLine) -> None:
    assert read(text) == expected


@pytest.mark.parametrize(
    "time", ["2099-01-01T00:00:00Z", "-5", "nan", "1e400", "yesterday", "9" * 30, "[]", "true", "{}"]
)
def test_a_time_that_cannot_be_is_that_of_shipping(time: str) -> None:
    assert read(f'{{"ts":"{time}","msg":"m"}}').ts == SHIPPED
    if time[0] in "[t{":
        assert read(f'{{"ts":{time},"msg":"m"}}').message == "m"


@given(st.text())
def test_nothing_is_refused_and_all_fits_its_type(text: str) -> None:
    for line in (text, "{" + text, "<34>1 " + text, f'{{"msg":{msgspec.json.encode(text).decode()}}}', f"a={text} b=c"):
        got = read(line)
        assert msgspec.json.decode(msgspec.json.encode(got), type=LogLine) == got


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 50_000, "<34>1 a b c d e " + '[a b="' * 20_000, 'a="' * 30_000]
)
def test_what_is_made_to_be_slow_is_not(text: str) -> None:
    assert read(text).level == "info"


def shipped(name: str) -> list[LogLine]:
    with (DATA / name).open("rb") as file:
        return [parse(piece.text, name.partition(".")[0], SHIPPED) for piece in pieces(file)]


def test_the_package_manager() -> None:
    lines = shipped("dpkg.log")
    assert len(lines) == 60
    assert (lines[0].message, lines[0].ts) == ("startup archives unpack", 1_750_775_785.0)
    assert {line.ts for line in lines} != {SHIPPED}
    assert "(Reading database ... 6089 files and directories currently installed.)" in [
        line.message for line in shipped("apt-term.log")
    ]


def test_a_broker() -> None:
    lines = shipped("kafka.log")
    assert {line.level for line in lines} == {"info", "warning", "error"}
    assert all(line.ts < SHIPPED for line in lines)
    assert sum("logger" in line.fields for line in lines) > 40
    traces = [line for line in lines if "\n\tat " in line.message]
    assert traces
    assert "org.apache.kafka.common" in traces[0].message
    assert all(not line.message.startswith(("\t", "org.apache")) for line in lines)


def test_our_own_worker() -> None:
    lines = shipped("worker.log")
    assert lines[0].message == "[^Worker]: Starting..."
    assert {line.level for line in lines} == {"info"}
    assert all(line.ts < SHIPPED for line in lines)


def test_pieces_end_where_the_next_run_begins() -> None:
    content = b"one\n  more\ntwo\n\nthree\n\tat x\nhalf"
    for cut in range(len(content) + 1):
        file = BytesIO(content[:cut])
        first = list(pieces(file, last=False))
        file = BytesIO(content)
        file.seek(first[-1].end if first else 0)
        texts = [piece.text for piece in [*first, *pieces(file)]]
        assert texts == ["one\n  more", "two", "three\n\tat x", "half"]
