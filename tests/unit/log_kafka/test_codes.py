"""Each error code asks for the right reaction."""

from __future__ import annotations

import pytest

from pelton.batch import TopicPartition
from pelton.errors import ConfigurationError, FencedError, RecordRefusedError, RecordTooLargeError, UnavailableError
from pelton.log.kafka.cluster import Again, check
from pelton.log.kafka.codes import RETRIABLE, Code, ProducerFenced, error_for


@pytest.mark.parametrize(
    ("code", "reaction"),
    [
        (Code.ILLEGAL_GENERATION, FencedError),
        (Code.UNKNOWN_MEMBER_ID, FencedError),
        (Code.INVALID_PRODUCER_EPOCH, ProducerFenced),
        (Code.PRODUCER_FENCED, ProducerFenced),
        (Code.MESSAGE_TOO_LARGE, RecordTooLargeError),
        (Code.INVALID_TIMESTAMP, RecordRefusedError),
        (Code.INVALID_RECORD, RecordRefusedError),
        (Code.INCONSISTENT_GROUP_PROTOCOL, ConfigurationError),
        (Code.UNKNOWN_PRODUCER_ID, UnavailableError),
        (Code.TOPIC_AUTHORIZATION_FAILED, ConfigurationError),
        (Code.INVALID_TXN_STATE, UnavailableError),
        (4242, UnavailableError),
    ],
)
def test_reaction(code: int, reaction: type[Exception]) -> None:
    error = error_for(code, "write", TopicPartition("t", 1), detail="the broker's words")
    assert type(error) is reaction
    assert str(error).startswith("could not write: ")
    assert "the broker's words" in str(error)
    assert (error.topic, error.partition) == ("t", 1)


@pytest.mark.parametrize("code", sorted(RETRIABLE))
def test_passing_trouble_is_tried_again(code: Code) -> None:
    with pytest.raises(Again, match=code.name):
        check(code, "write")


def test_no_error() -> None:
    check(0, "write")
