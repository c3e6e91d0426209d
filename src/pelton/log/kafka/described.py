# pyright: basic
"""A group as its coordinator describes it to who is no member."""

from __future__ import annotations

from collections.abc import Sequence

from pelton.log.contract import MemberInfo
from pelton.log.kafka.aio import ConsumerProtocolMemberAssignment, DescribeGroupsRequest
from pelton.log.kafka.assignor import Assignor, members_told
from pelton.log.kafka.cluster import GROUP, Cluster, check

__all__ = ["members_of"]


async def members_of(cluster: Cluster, group_id: str) -> Sequence[MemberInfo]:
    """Return the members as the leader told them last; none while the group rebalances, or where it is another's.

    Raises: UnavailableError, ConfigurationError.
    """
    doing = f"describe group {group_id!r}"
    found: list[MemberInfo] = []

    async def attempt() -> None:
        answer = await cluster.to_coordinator(GROUP, group_id, DescribeGroupsRequest([group_id]))
        for code, _, _, _, protocol, members, *_ in answer.groups:
            check(code, doing)
            assignments = [assignment for *_, assignment in members if assignment] if protocol == Assignor.name else []
            if assignments:
                found[:] = members_told(ConsumerProtocolMemberAssignment.decode(assignments[0]).user_data)

    await cluster.retry(attempt, doing)
    return found
