"""What the Kafka log leans on in aiokafka, much of it private: this fails first when a new version changes it."""

from __future__ import annotations

import inspect
from importlib.metadata import version
from typing import Any

import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.consumer import fetcher
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.consumer.subscription_state import Assignment, Subscription, SubscriptionState, TopicPartitionState

from pelton.log.kafka import aio


def test_version_is_the_one_that_was_read() -> None:
    assert version("aiokafka") == "0.14.0"


def test_every_name_is_there() -> None:
    assert all(hasattr(aio, name) for name in aio.__all__)


@pytest.mark.parametrize(
    ("owner", "names"),
    [
        (AIOKafkaClient, "bootstrap close send force_metadata_update get_random_node coordinator_lookup set_topics"),
        (fetcher.Fetcher, "_create_fetch_waiter _notify seek_to error_future close"),
        (GroupCoordinator, "check_errors close"),
        (SubscriptionState, "subscribe reassignment_in_progress subscription topics"),
        (Subscription, "assignment"),
        (Assignment, "state_value"),
        (TopicPartitionState, "paused pause resume position has_valid_position consumed_to"),
    ],
)
def test_methods(owner: type, names: str) -> None:
    assert [name for name in names.split() if not hasattr(owner, name)] == []


@pytest.mark.parametrize(
    ("made", "attributes"),
    [
        (fetcher.Fetcher, "_records _wait_consume_future"),
        (fetcher.FetchResult, "_partition_records"),
        (fetcher.PartitionRecords, "_records _aborted_transactions next_fetch_offset"),
        (fetcher.FetchError, "_error"),
        (GroupCoordinator, "generation member_id"),
        (TopicPartitionState, "lso timestamp"),
    ],
)
def test_attributes(made: type, attributes: str) -> None:
    source = inspect.getsource(made)
    assert [name for name in attributes.split() if f"self.{name} = " not in source] == []


@pytest.mark.parametrize(
    ("called", "arguments"),
    [
        (
            fetcher.Fetcher,
            "fetch_max_bytes max_partition_fetch_bytes fetch_max_wait_ms prefetch_backoff isolation_level",
        ),
        (GroupCoordinator, "group_instance_id rebalance_timeout_ms max_poll_interval_ms enable_auto_commit assignors"),
        (AIOKafkaClient, "bootstrap_servers client_id request_timeout_ms security_protocol ssl_context sasl_mechanism"),
        (AIOKafkaClient.send, "node_id request group"),
    ],
)
def test_arguments(called: Any, arguments: str) -> None:
    taken = inspect.signature(called).parameters
    assert [name for name in arguments.split() if name not in taken] == []


def test_a_revocation_is_awaited_before_the_join() -> None:
    prepare = inspect.getsource(GroupCoordinator._on_join_prepare)
    assert "res = self._subscription.listener.on_partitions_revoked(revoked)" in prepare
    assert "await res" in prepare
    active = inspect.getsource(GroupCoordinator.ensure_active_group)
    assert active.index("_on_join_prepare") < active.index("_stop_heartbeat_task") < active.index("_do_rejoin_group")
