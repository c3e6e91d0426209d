# pyright: basic, reportAssignmentType=false
# mypy: disable-error-code="import-untyped, misc, no-untyped-call"
"""Requests of Kafka's administration that aiokafka 0.14 does not have, in its vocabulary; see `aio.py`.

Source: Kafka protocol guide; KIP-339 (IncrementalAlterConfigs), KIP-584 (features), KIP-827 (the size of disks).
"""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import Any

from aiokafka.protocol.api import Request, RequestStruct, Response, ResponseHeader_v0
from aiokafka.protocol.types import (
    Array,
    Boolean,
    CompactArray,
    CompactString,
    Int8,
    Int16,
    Int32,
    Int64,
    Schema,
    String,
    TaggedFields,
)

__all__ = ["ApiVersionsRequest", "DescribeLogDirsRequest", "IncrementalAlterConfigsRequest", "features"]


class IncrementalAlterConfigsResponseV0(Response):
    """Answer to IncrementalAlterConfigs, version 0."""

    API_KEY = 44
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "responses",
            Array(
                ("error_code", Int16),
                ("error_message", String("utf-8")),
                ("resource_type", Int8),
                ("resource_name", String("utf-8")),
            ),
        ),
    )


class IncrementalAlterConfigsRequestV0(RequestStruct):
    """IncrementalAlterConfigs (KIP-339): unlike AlterConfigs, it leaves the settings alone that it does not name."""

    API_KEY = 44
    API_VERSION = 0
    RESPONSE_TYPE = IncrementalAlterConfigsResponseV0
    SCHEMA = Schema(
        (
            "resources",
            Array(
                ("resource_type", Int8),
                ("resource_name", String("utf-8")),
                ("configs", Array(("name", String("utf-8")), ("operation", Int8), ("value", String("utf-8")))),
            ),
        ),
        ("validate_only", Boolean),
    )


class _IncrementalAlterConfigsRequest(Request[IncrementalAlterConfigsRequestV0]):
    """Sets settings of one resource."""

    API_KEY = 44
    SET = 0

    def __init__(self, resource_type: int, name: str, config: Mapping[str, str]) -> None:
        self._resource = (resource_type, name, [(key, self.SET, value) for key, value in config.items()])

    def build(self, request_struct_class: type[IncrementalAlterConfigsRequestV0]) -> IncrementalAlterConfigsRequestV0:
        """Return the structure that goes over the wire."""
        return request_struct_class([self._resource], False)


class ApiVersionsResponseV3(Response):
    """Answer to ApiVersions, version 3; `features` reads its tags."""

    API_KEY = 18
    API_VERSION = 3
    SCHEMA = Schema(
        ("error_code", Int16),
        (
            "api_versions",
            CompactArray(("api_key", Int16), ("min_version", Int16), ("max_version", Int16), ("tags", TaggedFields)),
        ),
        ("throttle_time_ms", Int32),
        ("tags", TaggedFields),
    )


class ApiVersionsRequestV3(RequestStruct):
    """ApiVersions with the features of the cluster (KIP-584)."""

    API_KEY = 18
    API_VERSION = 3
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = ApiVersionsResponseV3
    SCHEMA = Schema(
        ("client_software_name", CompactString("utf-8")),
        ("client_software_version", CompactString("utf-8")),
        ("tags", TaggedFields),
    )

    def parse_response_header(self, read_buffer: BytesIO | bytes) -> ResponseHeader_v0:
        """Return the header, which has no tags, whatever the version: who asks may not know any yet."""
        return ResponseHeader_v0.decode(read_buffer)


class _ApiVersionsRequest(Request[ApiVersionsRequestV3]):
    API_KEY = 18

    def build(self, request_struct_class: type[ApiVersionsRequestV3]) -> ApiVersionsRequestV3:
        """Return the structure that goes over the wire."""
        return request_struct_class("pelton", "0", {})


class DescribeLogDirsResponseV4(Response):
    """Answer to DescribeLogDirs, version 4: with the size of each disk, and what is free (KIP-827, Kafka 3.3)."""

    API_KEY = 35
    API_VERSION = 4
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        (
            "results",
            CompactArray(
                ("error_code", Int16),
                ("log_dir", CompactString("utf-8")),
                (
                    "topics",
                    CompactArray(
                        ("name", CompactString("utf-8")),
                        (
                            "partitions",
                            CompactArray(
                                ("partition", Int32),
                                ("size", Int64),
                                ("offset_lag", Int64),
                                ("is_future", Boolean),
                                ("tags", TaggedFields),
                            ),
                        ),
                        ("tags", TaggedFields),
                    ),
                ),
                ("total_bytes", Int64),
                ("usable_bytes", Int64),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class DescribeLogDirsRequestV4(RequestStruct):
    """What lies in the directories of a broker."""

    API_KEY = 35
    API_VERSION = 4
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = DescribeLogDirsResponseV4
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("topic", CompactString("utf-8")), ("partitions", CompactArray(Int32)), ("tags", TaggedFields)
            ),
        ),
        ("tags", TaggedFields),
    )


class _DescribeLogDirsRequest(Request[DescribeLogDirsRequestV4]):
    """Of no topic: the disks alone."""

    API_KEY = 35

    def build(self, request_struct_class: type[DescribeLogDirsRequestV4]) -> DescribeLogDirsRequestV4:
        """Return the structure that goes over the wire."""
        return request_struct_class([], {})


#: A feature's name, two levels (of what is supported: lowest, highest; of what is in force: highest, lowest), tags.
_FEATURES = CompactArray(("name", CompactString("utf-8")), ("one", Int16), ("other", Int16), ("tags", TaggedFields))
_SUPPORTED, _IN_FORCE = 0, 2


def features(tags: Mapping[int, bytes]) -> Mapping[str, tuple[int, int]]:
    """Return feature -> the highest level that the broker supports, and the one in force in its cluster.

    tags: those of an answer to ApiVersions. A feature that is not in force is there with level 0.
    """
    supported = {name: highest for name, _, highest, _ in _decoded(tags.get(_SUPPORTED))}
    in_force = {name: level for name, level, _, _ in _decoded(tags.get(_IN_FORCE))}
    return {name: (highest, in_force.get(name, 0)) for name, highest in supported.items()}


def _decoded(data: bytes | None) -> Any:
    return _FEATURES.decode(BytesIO(data)) or [] if data else []


ApiVersionsRequest: Any = _ApiVersionsRequest
DescribeLogDirsRequest: Any = _DescribeLogDirsRequest
IncrementalAlterConfigsRequest: Any = _IncrementalAlterConfigsRequest
