"""What the Kafka log leans on in aiokafka, much of it private: this fails first when a new version changes it."""

from __future__ import annotations

import inspect
from importlib.metadata import version
from typing import Any

import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.consumer.subscription_state import SubscriptionState

from pelton.log.kafka import aio


def test_version_is_the_one_that_was_read() -> None:
    assert version("aiokafka") == "0.14.0"


def test_every_name_is_there() -> None:
    assert all(hasattr(aio, name) for name in aio.__all__)


@pytest.mark.parametrize(
    ("owner", "names"),
    [
        (
            AIOKafkaClient,
            "bootstrap close send force_metadata_update get_random_node coordinator_lookup set_topics _get_conn"
            " _metadata_update hosts",
        ),
        (
            GroupCoordinator,
            "check_errors close request_rejoin reset_generation _send_req _maybe_leave_group _on_join_complete"
            " _push_error_to_user _stop_heartbeat_task _stop_commit_offsets_refresh_task",
        ),
        (SubscriptionState, "subscribe topics register_fetch_waiters"),
    ],
)
def test_methods(owner: type, names: str) -> None:
    assert [name for name in names.split() if not hasattr(owner, name)] == []


@pytest.mark.parametrize(
    ("made", "attributes"),
    [
        (GroupCoordinator, "generation member_id group_id _group_instance_id _closing _coordination_task"),
    ],
)
def test_attributes(made: type, attributes: str) -> None:
    source = inspect.getsource(made)
    assert [name for name in attributes.split() if f"self.{name} = " not in source] == []


@pytest.mark.parametrize(
    ("called", "arguments"),
    [
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


def test_a_heartbeat_that_fails_ends_with_the_member_id() -> None:
    routine = inspect.getsource(GroupCoordinator._heartbeat_routine)
    assert "while self.member_id != JoinGroupRequest.UNKNOWN_MEMBER_ID:" in routine
    assert "success = await self._do_heartbeat()" in routine


def test_an_assignment_that_was_not_taken_up_is_asked_for_again() -> None:
    active = inspect.getsource(GroupCoordinator.ensure_active_group)
    assert "return subscription.assignment" in active
    assert "if new_assignment is None or not new_assignment.active:" in inspect.getsource(
        GroupCoordinator._GroupCoordinator__coordination_routine  # type: ignore[attr-defined]
    )
