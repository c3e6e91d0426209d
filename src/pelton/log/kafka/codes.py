"""Kafka's error codes, and the reaction that each asks of pelton.

Only the codes that some part of this package tells apart have a name here. Source: Kafka protocol guide, "Error codes".
"""

from __future__ import annotations

from enum import IntEnum

from pelton.batch import TopicPartition
from pelton.errors import (
    ConfigurationError,
    FencedError,
    PeltonError,
    RecordRefusedError,
    RecordTooLargeError,
    UnavailableError,
)

__all__ = ["CONFIGURATION", "FENCED", "MOVED", "RETRIABLE", "Code", "ProducerFenced", "error_for", "name_of"]


class ProducerFenced(FencedError):
    """Another producer took this one's transactional id, or the broker aborted a transaction that took too long."""


class Code(IntEnum):
    """An error code in a broker's answer."""

    NONE = 0
    OFFSET_OUT_OF_RANGE = 1
    CORRUPT_MESSAGE = 2
    UNKNOWN_TOPIC_OR_PARTITION = 3
    LEADER_NOT_AVAILABLE = 5
    NOT_LEADER_OR_FOLLOWER = 6
    REQUEST_TIMED_OUT = 7
    BROKER_NOT_AVAILABLE = 8
    REPLICA_NOT_AVAILABLE = 9
    MESSAGE_TOO_LARGE = 10
    OFFSET_METADATA_TOO_LARGE = 12
    NETWORK_EXCEPTION = 13
    COORDINATOR_LOAD_IN_PROGRESS = 14
    COORDINATOR_NOT_AVAILABLE = 15
    NOT_COORDINATOR = 16
    INVALID_TOPIC = 17
    RECORD_LIST_TOO_LARGE = 18
    NOT_ENOUGH_REPLICAS = 19
    NOT_ENOUGH_REPLICAS_AFTER_APPEND = 20
    ILLEGAL_GENERATION = 22
    INCONSISTENT_GROUP_PROTOCOL = 23
    INVALID_GROUP_ID = 24
    UNKNOWN_MEMBER_ID = 25
    INVALID_SESSION_TIMEOUT = 26
    REBALANCE_IN_PROGRESS = 27
    TOPIC_AUTHORIZATION_FAILED = 29
    GROUP_AUTHORIZATION_FAILED = 30
    CLUSTER_AUTHORIZATION_FAILED = 31
    INVALID_TIMESTAMP = 32
    TOPIC_ALREADY_EXISTS = 36
    INVALID_PARTITIONS = 37
    INVALID_REPLICATION_FACTOR = 38
    INVALID_CONFIG = 40
    NOT_CONTROLLER = 41
    POLICY_VIOLATION = 44
    OUT_OF_ORDER_SEQUENCE_NUMBER = 45
    DUPLICATE_SEQUENCE_NUMBER = 46
    INVALID_PRODUCER_EPOCH = 47
    INVALID_TXN_STATE = 48
    INVALID_PRODUCER_ID_MAPPING = 49
    INVALID_TRANSACTION_TIMEOUT = 50
    CONCURRENT_TRANSACTIONS = 51
    TRANSACTIONAL_ID_AUTHORIZATION_FAILED = 53
    OPERATION_NOT_ATTEMPTED = 55
    KAFKA_STORAGE_ERROR = 56
    UNKNOWN_PRODUCER_ID = 59
    GROUP_ID_NOT_FOUND = 69
    FENCED_LEADER_EPOCH = 74
    UNKNOWN_LEADER_EPOCH = 75
    OFFSET_NOT_AVAILABLE = 78
    FENCED_INSTANCE_ID = 82
    INVALID_RECORD = 87
    UNSTABLE_OFFSET_COMMIT = 88
    PRODUCER_FENCED = 90


_NAMES = {code.value: code.name for code in Code}
_FENCED_HINT = "another worker owns these partitions now"
_PRODUCER_FENCED_HINT = "another worker uses this transactional id, or the transaction outlived its timeout"

#: The partition's leader or the coordinator is somewhere else now: look again, then retry.
MOVED = frozenset(
    {
        Code.UNKNOWN_TOPIC_OR_PARTITION,
        Code.LEADER_NOT_AVAILABLE,
        Code.NOT_LEADER_OR_FOLLOWER,
        Code.REPLICA_NOT_AVAILABLE,
        Code.BROKER_NOT_AVAILABLE,
        Code.COORDINATOR_NOT_AVAILABLE,
        Code.NOT_COORDINATOR,
        Code.NOT_CONTROLLER,
        Code.KAFKA_STORAGE_ERROR,
        Code.FENCED_LEADER_EPOCH,
        Code.UNKNOWN_LEADER_EPOCH,
    }
)

#: The same request may succeed in a moment.
RETRIABLE = MOVED | {
    Code.CORRUPT_MESSAGE,
    Code.REQUEST_TIMED_OUT,
    Code.NETWORK_EXCEPTION,
    Code.COORDINATOR_LOAD_IN_PROGRESS,
    Code.NOT_ENOUGH_REPLICAS,
    Code.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
    Code.CONCURRENT_TRANSACTIONS,
    Code.OFFSET_NOT_AVAILABLE,
    Code.UNSTABLE_OFFSET_COMMIT,
}

#: Somebody else holds the member's partitions.
FENCED = frozenset(
    {
        Code.ILLEGAL_GENERATION,
        Code.UNKNOWN_MEMBER_ID,
        Code.REBALANCE_IN_PROGRESS,
        Code.FENCED_INSTANCE_ID,
    }
)
_PRODUCER_FENCED = frozenset({Code.INVALID_PRODUCER_EPOCH, Code.PRODUCER_FENCED})
#: The record is at fault, or its event; which settings of the topic it offends, `topics.record_rules` tells.
_REFUSED: dict[int, type[RecordRefusedError]] = {
    Code.MESSAGE_TOO_LARGE: RecordTooLargeError,
    Code.RECORD_LIST_TOO_LARGE: RecordTooLargeError,
    Code.INVALID_RECORD: RecordRefusedError,
    Code.INVALID_TIMESTAMP: RecordRefusedError,
}

#: What the reader can do about a code that means "the program, its settings or its rights are wrong".
CONFIGURATION = {
    Code.MESSAGE_TOO_LARGE: "raise max.message.bytes of the topic, or send smaller records",
    Code.RECORD_LIST_TOO_LARGE: "raise segment.bytes of the topic, or send smaller records",
    Code.INVALID_RECORD: "records of a compacted topic need a key",
    Code.INVALID_TIMESTAMP: "raise message.timestamp.before.max.ms and message.timestamp.after.max.ms of the topic, or "
    "set message.timestamp.type to LogAppendTime",
    Code.INVALID_TOPIC: "topic names have letters, digits, '.', '_' and '-' only",
    Code.INCONSISTENT_GROUP_PROTOCOL: "consumers of another kind are members of this group, as of an application that "
    "ran under this id before: stop them, or take another id",
    Code.INVALID_GROUP_ID: "give the application an id",
    Code.INVALID_SESSION_TIMEOUT: "set broker_session_timeout between group.min.session.timeout.ms and "
    "group.max.session.timeout.ms of the broker",
    Code.OFFSET_METADATA_TOO_LARGE: "raise offset.metadata.max.bytes of the broker, or run fewer agents on one topic",
    Code.TOPIC_AUTHORIZATION_FAILED: "grant this user READ, WRITE and DESCRIBE on the topic, "
    "and DELETE where it is one for repartitioning",
    Code.GROUP_AUTHORIZATION_FAILED: "grant this user READ on the group",
    Code.CLUSTER_AUTHORIZATION_FAILED: "grant this user IDEMPOTENT_WRITE and CREATE on the cluster",
    Code.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "grant this user WRITE and DESCRIBE on the transactional id",
    Code.INVALID_TRANSACTION_TIMEOUT: "lower transaction_timeout_ms, or raise transaction.max.timeout.ms of the broker",
    Code.INVALID_PARTITIONS: "declare at least one partition",
    Code.INVALID_REPLICATION_FACTOR: "declare at most as many replicas as there are brokers",
    Code.INVALID_CONFIG: "see the topic settings in Kafka's documentation",
    Code.POLICY_VIOLATION: "the broker's create.topic.policy refuses this topic",
}


def name_of(code: int) -> str:
    """Return Kafka's name of an error code, or its number when this package has no use for it."""
    return _NAMES.get(code, f"error {code}")


def error_for(code: int, doing: str, partition: TopicPartition | None = None, *, detail: str = "") -> PeltonError:
    """Return the error of ours that asks for the right reaction.

    doing: what failed, to follow "could not".
    detail: the broker's own words, if it sent any.
    """
    text = f"could not {doing}: {name_of(code)}{': ' + detail if detail else ''}"
    topic, number = partition or (None, None)
    if code in _PRODUCER_FENCED:
        return ProducerFenced(text, hint=_PRODUCER_FENCED_HINT, topic=topic, partition=number)
    if code in FENCED:
        return FencedError(text, hint=_FENCED_HINT, topic=topic, partition=number)
    if code in CONFIGURATION:
        kind = _REFUSED.get(code, ConfigurationError)
        return kind(text, hint=CONFIGURATION[Code(code)], topic=topic, partition=number)
    return UnavailableError(text, topic=topic, partition=number)
