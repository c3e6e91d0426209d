# pyright: basic, reportAssignmentType=false
# mypy: disable-error-code="import-untyped, misc, no-untyped-call"
"""Every name of aiokafka that pelton touches, public or not.

aiokafka carries no type information and several of these names are its own business, so the version is pinned
(aiokafka 0.14.0) and tests/unit/log_kafka/test_aiokafka_names.py fails as soon as one of them changes. What
aiokafka has no request for yet (KIP-345, KIP-447) is spelled out here in its own vocabulary.
"""

from __future__ import annotations

from typing import Any

from aiokafka import errors as _errors
from aiokafka.abc import ConsumerRebalanceListener as _ConsumerRebalanceListener
from aiokafka.client import AIOKafkaClient as _AIOKafkaClient
from aiokafka.client import CoordinationType as _CoordinationType
from aiokafka.conn import create_conn as _create_conn
from aiokafka.consumer.group_coordinator import GroupCoordinator as _GroupCoordinator
from aiokafka.consumer.subscription_state import SubscriptionState as _SubscriptionState
from aiokafka.coordinator import protocol as _protocol
from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor as _AbstractPartitionAssignor
from aiokafka.protocol import admin as _admin
from aiokafka.protocol import transaction as _transaction
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.commit import OffsetCommitRequest as _OffsetCommitRequest
from aiokafka.protocol.fetch import FetchRequest as _FetchRequest
from aiokafka.protocol.group import HeartbeatRequest as _HeartbeatRequest
from aiokafka.protocol.offset import OffsetRequest as _OffsetRequest
from aiokafka.protocol.produce import ProduceRequest as _ProduceRequest
from aiokafka.protocol.types import (
    Array,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    String,
    TaggedFields,
)
from aiokafka.record.default_records import DefaultRecordBatchBuilder as _DefaultRecordBatchBuilder
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy, _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords as _MemoryRecords
from aiokafka.record.util import calc_crc32c as _calc_crc32c
from aiokafka.structs import TopicPartition as _TopicPartition

__all__ = [
    "AIOKafkaClient",
    "AbstractPartitionAssignor",
    "AddOffsetsToTxnRequest",
    "AddPartitionsToTxnRequest",
    "ConsumerProtocolMemberAssignment",
    "ConsumerProtocolMemberMetadata",
    "ConsumerRebalanceListener",
    "CoordinationType",
    "CreatePartitionsRequest",
    "CreateTopicsRequest",
    "DefaultRecordBatchBuilder",
    "DeleteRecordsRequest",
    "DeleteTopicsRequest",
    "DescribeConfigsRequest",
    "DescribeGroupsRequest",
    "EndTxnRequest",
    "FetchRequest",
    "GroupCoordinator",
    "HeartbeatRequest",
    "IncompatibleBrokerVersion",
    "InitProducerIdRequest",
    "KafkaConnectionError",
    "KafkaError",
    "KafkaPartition",
    "LeaveGroupRequest",
    "MemoryRecords",
    "OffsetCommitRequest",
    "OffsetRequest",
    "PlainRecordBatch",
    "PlainRecordBatchBuilder",
    "ProduceRequest",
    "StableOffsetFetchRequest",
    "StaticHeartbeatRequest",
    "SubscriptionState",
    "TxnOffsetCommitRequest",
    "calc_crc32c",
    "create_conn",
]

# Connections, membership, fetching.
AIOKafkaClient: Any = _AIOKafkaClient
AbstractPartitionAssignor: Any = _AbstractPartitionAssignor
ConsumerProtocolMemberAssignment: Any = _protocol.ConsumerProtocolMemberAssignment
ConsumerProtocolMemberMetadata: Any = _protocol.ConsumerProtocolMemberMetadata
ConsumerRebalanceListener: Any = _ConsumerRebalanceListener
CoordinationType: Any = _CoordinationType
GroupCoordinator: Any = _GroupCoordinator
KafkaPartition: Any = _TopicPartition
SubscriptionState: Any = _SubscriptionState
create_conn: Any = _create_conn

# Record batches.
DefaultRecordBatchBuilder: Any = _DefaultRecordBatchBuilder
#: The same in Python, slower: header names are asked to encode themselves, slices of the buffer to decode themselves.
PlainRecordBatch: Any = _DefaultRecordBatchPy
PlainRecordBatchBuilder: Any = _DefaultRecordBatchBuilderPy
MemoryRecords: Any = _MemoryRecords
calc_crc32c: Any = _calc_crc32c

# Requests.
AddOffsetsToTxnRequest: Any = _transaction.AddOffsetsToTxnRequest
AddPartitionsToTxnRequest: Any = _transaction.AddPartitionsToTxnRequest
CreatePartitionsRequest: Any = _admin.CreatePartitionsRequest
CreateTopicsRequest: Any = _admin.CreateTopicsRequest
DeleteRecordsRequest: Any = _admin.DeleteRecordsRequest
DeleteTopicsRequest: Any = _admin.DeleteTopicsRequest
DescribeConfigsRequest: Any = _admin.DescribeConfigsRequest
DescribeGroupsRequest: Any = _admin.DescribeGroupsRequest
EndTxnRequest: Any = _transaction.EndTxnRequest
FetchRequest: Any = _FetchRequest
InitProducerIdRequest: Any = _transaction.InitProducerIdRequest
OffsetCommitRequest: Any = _OffsetCommitRequest
OffsetRequest: Any = _OffsetRequest
ProduceRequest: Any = _ProduceRequest

#: What aiokafka's coordinator sends: without an instance id, so `StaticHeartbeatRequest` takes its place.
HeartbeatRequest: Any = _HeartbeatRequest

# Errors.
IncompatibleBrokerVersion: type[Exception] = _errors.IncompatibleBrokerVersion
KafkaConnectionError: type[Exception] = _errors.KafkaConnectionError
KafkaError: type[Exception] = _errors.KafkaError


class TxnOffsetCommitResponseV3(Response):
    """Answer to TxnOffsetCommit, version 3."""

    API_KEY = 28
    API_VERSION = 3
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "topics",
            CompactArray(
                ("topic", CompactString("utf-8")),
                ("partitions", CompactArray(("partition", Int32), ("error_code", Int16), ("tags", TaggedFields))),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class TxnOffsetCommitRequestV3(RequestStruct):
    """TxnOffsetCommit with the group's generation and member, so that a zombie is refused (KIP-447)."""

    API_KEY = 28
    API_VERSION = 3
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = TxnOffsetCommitResponseV3
    SCHEMA = Schema(
        ("transactional_id", CompactString("utf-8")),
        ("group_id", CompactString("utf-8")),
        ("producer_id", Int64),
        ("producer_epoch", Int16),
        ("generation_id", Int32),
        ("member_id", CompactString("utf-8")),
        ("group_instance_id", CompactString("utf-8")),
        (
            "topics",
            CompactArray(
                ("topic", CompactString("utf-8")),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("offset", Int64),
                        ("leader_epoch", Int32),
                        ("metadata", CompactString("utf-8")),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _TxnOffsetCommitRequest(Request[TxnOffsetCommitRequestV3]):
    """TxnOffsetCommit; takes the fields of version 3 in order."""

    API_KEY = 28

    def __init__(self, *fields: Any) -> None:
        self._fields = fields

    def build(self, request_struct_class: type[TxnOffsetCommitRequestV3]) -> TxnOffsetCommitRequestV3:
        """Return the structure that goes over the wire."""
        return request_struct_class(*self._fields)


class OffsetFetchResponseV7(Response):
    """Answer to OffsetFetch, version 7."""

    API_KEY = 9
    API_VERSION = 7
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "topics",
            CompactArray(
                ("topic", CompactString("utf-8")),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("offset", Int64),
                        ("leader_epoch", Int32),
                        ("metadata", CompactString("utf-8")),
                        ("error_code", Int16),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("error_code", Int16),
        ("tags", TaggedFields),
    )


class OffsetFetchRequestV7(RequestStruct):
    """OffsetFetch that waits for pending transactions to be decided (KIP-447)."""

    API_KEY = 9
    API_VERSION = 7
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = OffsetFetchResponseV7
    SCHEMA = Schema(
        ("group_id", CompactString("utf-8")),
        (
            "topics",
            CompactArray(
                ("topic", CompactString("utf-8")), ("partitions", CompactArray(Int32)), ("tags", TaggedFields)
            ),
        ),
        ("require_stable", Boolean),
        ("tags", TaggedFields),
    )


class _StableOffsetFetchRequest(Request[OffsetFetchRequestV7]):
    """A group's committed positions; refused (UNSTABLE_OFFSET_COMMIT) while a transaction over them is undecided.

    Without this a partition's next owner could read the position from before a transaction that is already
    committed but whose marker is still under way, and process its records twice.
    """

    API_KEY = 9

    def __init__(self, group_id: str, topics: list[tuple[str, list[int], dict[int, bytes]]]) -> None:
        self._group_id = group_id
        self._topics = topics

    def build(self, request_struct_class: type[OffsetFetchRequestV7]) -> OffsetFetchRequestV7:
        """Return the structure that goes over the wire."""
        return request_struct_class(self._group_id, self._topics, True, {})


class HeartbeatResponseV3(Response):
    """Answer to Heartbeat, version 3."""

    API_KEY = 12
    API_VERSION = 3
    SCHEMA = Schema(("throttle_time_ms", Int32), ("error_code", Int16))


class HeartbeatRequestV3(RequestStruct):
    """Heartbeat with the name of a static member (KIP-345)."""

    API_KEY = 12
    API_VERSION = 3
    RESPONSE_TYPE = HeartbeatResponseV3
    SCHEMA = Schema(
        ("group", String("utf-8")),
        ("generation_id", Int32),
        ("member_id", String("utf-8")),
        ("group_instance_id", String("utf-8")),
    )


class _StaticHeartbeatRequest(Request[HeartbeatRequestV3]):
    """A heartbeat that is answered FENCED_INSTANCE_ID when another member has joined under the same name.

    Without the name the answer is UNKNOWN_MEMBER_ID, upon which aiokafka joins again and takes the name back: two
    workers of one name would throw each other out for ever.
    """

    API_KEY = 12

    def __init__(self, group_id: str, generation: int, member_id: str, instance_id: str | None) -> None:
        self._fields = (group_id, generation, member_id, instance_id)

    def build(self, request_struct_class: type[HeartbeatRequestV3]) -> HeartbeatRequestV3:
        """Return the structure that goes over the wire."""
        return request_struct_class(*self._fields)


class LeaveGroupResponseV3(Response):
    """Answer to LeaveGroup, version 3."""

    API_KEY = 13
    API_VERSION = 3
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        (
            "members",
            Array(("member_id", String("utf-8")), ("group_instance_id", String("utf-8")), ("error_code", Int16)),
        ),
    )


class LeaveGroupRequestV3(RequestStruct):
    """LeaveGroup of members by id and name (KIP-345)."""

    API_KEY = 13
    API_VERSION = 3
    RESPONSE_TYPE = LeaveGroupResponseV3
    SCHEMA = Schema(
        ("group", String("utf-8")),
        ("members", Array(("member_id", String("utf-8")), ("group_instance_id", String("utf-8")))),
    )


class _LeaveGroupRequest(Request[LeaveGroupRequestV3]):
    """One member leaves; with its name, so that a static one can."""

    API_KEY = 13

    def __init__(self, group_id: str, member_id: str, instance_id: str | None) -> None:
        self._fields = (group_id, [(member_id, instance_id)])

    def build(self, request_struct_class: type[LeaveGroupRequestV3]) -> LeaveGroupRequestV3:
        """Return the structure that goes over the wire."""
        return request_struct_class(*self._fields)


LeaveGroupRequest: Any = _LeaveGroupRequest
StaticHeartbeatRequest: Any = _StaticHeartbeatRequest
StableOffsetFetchRequest: Any = _StableOffsetFetchRequest
TxnOffsetCommitRequest: Any = _TxnOffsetCommitRequest
