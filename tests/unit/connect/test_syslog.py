"""What syslog messages say, those of standards and others."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pelton.connect.syslog import Syslog, SyslogMessage, parse_syslog
from pelton.errors import ConfigurationError

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            b"<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - \xef\xbb\xbf'su root' failed",
            SyslogMessage("'su root' failed", "critical", 4, "mymachine.example.com", "su", "", "ID47", 1065910455.003),
        ),
        (
            b"<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% It's time.",
            SyslogMessage("%% It's time.", "notice", 20, "192.0.2.1", "myproc", "8710", "", 1061727255.000003),
        ),
        (
            b'<165>1 - - evntslog - ID47 [a@1 iut="3" s="x\\]y"][b@2 p="high"] text',
            SyslogMessage(
                "text",
                "notice",
                20,
                "",
                "evntslog",
                "",
                "ID47",
                data={"a@1": {"iut": "3", "s": "x]y"}, "b@2": {"p": "high"}},
            ),
        ),
        (
            b"<13>Dec 31 23:59:58 web1 cron[12]: (root) CMD (true)\n",
            SyslogMessage(
                "(root) CMD (true)",
                "notice",
                1,
                "web1",
                "cron",
                "12",
                "",
                datetime(2025, 12, 31, 23, 59, 58, tzinfo=UTC).timestamp(),
            ),
        ),
        (b"<13>no header at all", SyslogMessage("no header at all", "notice", 1)),
        (b"<999>x", SyslogMessage("<999>x")),
        (b"plain text", SyslogMessage("plain text")),
        (b"<13>1 yesterday h a p m - t", SyslogMessage("1 yesterday h a p m - t", "notice", 1)),
        (b"<13>Feb 30 10:00:00 web1 a: b", SyslogMessage("b", "notice", 1, "web1", "a")),
    ],
)
def test_what_a_message_says(line: bytes, expected: SyslogMessage) -> None:
    assert parse_syslog(line, now=NOW) == expected


@given(st.binary(max_size=300))
def test_anything_is_a_message(data: bytes) -> None:
    assert isinstance(parse_syslog(data, "10.0.0.1", NOW), SyslogMessage)
    assert isinstance(parse_syslog(b"<13>1 " + data, now=NOW), SyslogMessage)
    assert isinstance(parse_syslog(b"<13>1 - h a p m [" + data, now=NOW), SyslogMessage)


def test_what_cannot_be_listened_to() -> None:
    with pytest.raises(ConfigurationError, match="port: expected"):
        Syslog(0)
    with pytest.raises(ConfigurationError, match="protocols: expected"):
        Syslog(514, protocols=("relp",))  # type: ignore[arg-type]
