# pyright: basic
# mypy: disable-error-code="misc, no-untyped-call"
"""Our assignment, in the shape that Kafka's group protocol carries.

Each member sends, as the user data of its JoinGroup, what it holds and where its web server is; the leader computes the
assignment and sends every member the whole picture, so that all know all.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pelton.log.assignment import Candidate, share
from pelton.log.contract import GroupOptions, MemberInfo
from pelton.log.kafka.aio import (
    AbstractPartitionAssignor,
    ConsumerProtocolMemberAssignment,
    ConsumerProtocolMemberMetadata,
)

__all__ = ["Assignor", "GroupAssignment", "members_told"]

_VERSION = 0


@dataclass(frozen=True, slots=True)
class GroupAssignment:
    """What the leader told this member: its standby numbers, and who does what."""

    standbys: frozenset[int] = frozenset()
    members: tuple[MemberInfo, ...] = ()


class Assignor(AbstractPartitionAssignor):
    """Co-partitioned, sticky assignment with standbys; one instance a member.

    held: may be replaced at any time; the next rebalance tells the group.
    last: the assignment of this member that was received last.
    """

    name = "pelton"

    def __init__(self, options: GroupOptions) -> None:
        self.held = options.held
        self.last = GroupAssignment()
        self._options = options
        self._tasks = frozenset[int]()
        self._topics: list[str] = []
        self._instead_of: object = None

    def metadata(self, topics: Iterable[str]) -> Any:
        """Return what this member tells the leader."""
        self._topics = sorted(topics)
        told = {
            "held": sorted(self.held),
            "tasks": sorted(self._tasks),
            "terms": self._terms(),
            # Kafka rebalances a stable group only when a member tells something else than before.
            "instead_of": self._instead_of,
        }
        return ConsumerProtocolMemberMetadata(_VERSION, self._topics, json.dumps(told).encode())

    def _terms(self) -> dict[str, object]:
        """Return what an assignment is made for, beside the state at hand."""
        return {
            "topics": self._topics,
            "address": self._options.address,
            "standby_replicas": self._options.standby_replicas,
        }

    def made_for_this_member(self, assignment: bytes) -> bool:
        """Tell whether an assignment was made for what this member has told, and not for its predecessor.

        A static member that takes over a place gets the assignment that is there, without a rebalance (KIP-345). When
        it reads other topics now, or has another address, it must ask for a new one.
        """
        # It is empty for a member that the leader had not heard of.
        terms = json.loads(ConsumerProtocolMemberAssignment.decode(assignment).user_data)["terms"] if assignment else {}
        self._instead_of = None if terms == self._terms() else terms
        return self._instead_of is None

    def assign(self, cluster: Any, members: Mapping[str, Any]) -> dict[str, Any]:
        """Compute the assignment of all members, as their leader."""
        topics = {topic for metadata in members.values() for topic in metadata.subscription}
        counts = {topic: len(cluster.partitions_for_topic(topic) or ()) for topic in topics}
        told = {member_id: json.loads(metadata.user_data) for member_id, metadata in members.items()}
        shares = share(
            [
                Candidate(member_id, frozenset(entry["tasks"]), frozenset(entry["held"]))
                for member_id, entry in told.items()
            ],
            partitions=max(counts.values(), default=0),
            standby_replicas=max(entry["terms"]["standby_replicas"] for entry in told.values()),
        )
        picture = [
            {
                "id": member_id,
                "address": told[member_id]["terms"]["address"],
                "tasks": sorted(shares[member_id].tasks),
                "standbys": sorted(shares[member_id].standbys),
            }
            for member_id in sorted(shares)
        ]
        return {
            member_id: ConsumerProtocolMemberAssignment(
                _VERSION,
                [
                    (topic, [number for number in sorted(shares[member_id].tasks) if number < counts[topic]])
                    for topic in sorted(metadata.subscription)
                ],
                json.dumps(
                    {
                        "standbys": sorted(shares[member_id].standbys),
                        "members": picture,
                        "terms": told[member_id]["terms"],
                    }
                ).encode(),
            )
            for member_id, metadata in members.items()
        }

    def on_assignment(self, assignment: Any) -> None:
        """Take note of what the leader decided."""
        self._tasks = frozenset(partition.partition for partition in assignment.partitions())
        standbys = json.loads(assignment.user_data)["standbys"]
        self.last = GroupAssignment(frozenset(standbys), members_told(assignment.user_data))


def members_told(user_data: bytes) -> tuple[MemberInfo, ...]:
    """Return the whole picture of the group that is in every member's assignment."""
    return tuple(
        MemberInfo(entry["id"], entry["address"], frozenset(entry["tasks"]), frozenset(entry["standbys"]))
        for entry in json.loads(user_data)["members"]
    )
