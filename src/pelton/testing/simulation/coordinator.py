"""The group's coordinator: who is a member, who owns which partition numbers, and who may commit.

Two kinds of rebalances, because the two logs differ. Cooperative (SQLite): a number changes hands only when its owner
has let go of it; everything else goes on. Eager (Kafka): everybody lets go of everything and joins again; the new
generation begins when all have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from pelton.errors import FencedError
from pelton.log.assignment import Candidate, share
from pelton.log.contract import GroupOptions, MemberInfo

__all__ = ["Coordinator", "Standing"]


@dataclass(slots=True)
class _Member:
    member_id: str
    options: GroupOptions
    held: frozenset[int]
    seen_at: float
    #: Whether no generation has counted it in yet.
    fresh: bool = True
    joined: bool = True
    target: frozenset[int] = frozenset()
    standbys: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a member stands.

    alive: whether the group knows it. replaced: another member has its instance id.
    generation: of the assignment in force. owned: what it owns. leaving: what it is to let go of; free: what it may
    take. standbys: what it is to keep a warm copy of. rejoin: whether it must say that it has let go of everything.
    settled: no rebalance is under way.
    """

    alive: bool
    replaced: bool = False
    generation: int = 0
    owned: frozenset[int] = frozenset()
    leaving: frozenset[int] = frozenset()
    free: frozenset[int] = frozenset()
    standbys: frozenset[int] = frozenset()
    rejoin: bool = False
    settled: bool = True


@dataclass(slots=True)
class Coordinator:
    """One group. now: the time in seconds."""

    now: Callable[[], float]
    eager: bool
    generation: int = 0
    owners: dict[int, str] = field(default_factory=dict[int, str])
    _members: dict[str, _Member] = field(default_factory=dict[str, _Member])
    _replaced: set[str] = field(default_factory=set[str])
    _rebalancing: bool = False
    _counts: Mapping[str, int] = field(default_factory=dict[str, int])

    # -- members ---------------------------------------------------------------------------------------------------

    def join(self, member_id: str, options: GroupOptions) -> None:
        """Take a member in; one with the same instance id is replaced."""
        self._expel_silent()
        name = options.instance_id
        for other in [one.member_id for one in self._members.values() if name and one.options.instance_id == name]:
            self._remove(other)
            self._replaced.add(other)
        self._members[member_id] = _Member(member_id, options, options.held, self.now())
        self._rebalance()

    def leave(self, member_id: str) -> None:
        """Let a member go; what it owned is free at once."""
        if member_id in self._members:
            self._remove(member_id)
            self._rebalance()

    def beat(self, member_id: str) -> bool:
        """Take note that a member lives. Returns: whether it is one."""
        self._expel_silent()
        if member_id not in self._members:
            return False
        self._members[member_id].seen_at = self.now()
        return True

    def request_rebalance(self, member_id: str) -> None:
        """Have everybody join again, because a member does not know whether it still is one."""
        if member_id in self._members:
            self._rebalance()

    def tell(self, member_id: str, held: frozenset[int]) -> None:
        """Take note of what state a member has on its disk."""
        if member_id in self._members:
            self._members[member_id].held = held

    def _remove(self, member_id: str) -> None:
        del self._members[member_id]
        self.owners = {number: owner for number, owner in self.owners.items() if owner != member_id}

    def _expel_silent(self) -> None:
        limits = {one.member_id: one.seen_at + one.options.session_timeout_ms / 1000 for one in self._members.values()}
        silent = [member_id for member_id, limit in limits.items() if limit < self.now()]
        for member_id in silent:
            self._remove(member_id)
        if silent:
            self._rebalance()

    def members(self) -> tuple[MemberInfo, ...]:
        """Return all members."""
        return tuple(
            MemberInfo(one.member_id, one.options.address, frozenset(self._owned(one.member_id)))
            for one in self._members.values()
        )

    # -- rebalances ------------------------------------------------------------------------------------------------

    def topics_changed(self, counts: Mapping[str, int]) -> None:
        """Take note of how many partitions each topic has now."""
        self._counts = counts
        if self._members:
            self._rebalance()

    def _rebalance(self) -> None:
        if self.eager:
            if not self._rebalancing:
                self._rebalancing = True
                for member in self._members.values():
                    member.joined = member.fresh
            self._settle()
        else:
            self.generation += 1
            self._share()

    def _settle(self) -> None:
        """Begin the new generation once every member has joined."""
        if self._rebalancing and all(member.joined for member in self._members.values()):
            self._rebalancing = False
            self.generation += 1
            self._share()
            self.owners = {number: one.member_id for one in self._members.values() for number in one.target}
            for member in self._members.values():
                member.fresh = False

    def _share(self) -> None:
        topics = {topic for one in self._members.values() for topic in one.options.topics}
        numbers = max((self._counts.get(topic, 0) for topic in topics), default=0)
        candidates = [
            Candidate(one.member_id, frozenset(self._owned(one.member_id)), one.held) for one in self._members.values()
        ]
        replicas = max((one.options.standby_replicas for one in self._members.values()), default=0)
        for member_id, mine in share(candidates, partitions=numbers, standby_replicas=replicas).items():
            self._members[member_id].target, self._members[member_id].standbys = mine

    def _owned(self, member_id: str) -> Iterable[int]:
        return [number for number, owner in self.owners.items() if owner == member_id]

    def look(self, member_id: str) -> Standing:
        """Return where a member stands."""
        self._expel_silent()
        member = self._members.get(member_id)
        if member is None:
            return Standing(alive=False, replaced=member_id in self._replaced)
        owned = frozenset(self._owned(member_id))
        if self.eager:
            return Standing(
                True,
                generation=self.generation,
                owned=owned,
                standbys=member.standbys,
                rejoin=self._rebalancing and not member.joined,
                settled=not self._rebalancing,
            )
        return Standing(
            True,
            generation=self.generation,
            owned=owned,
            leaving=owned - member.target,
            free=member.target - frozenset(self.owners),
            # What is to become its own and is not free yet, it goes on keeping a copy of.
            standbys=member.standbys | (member.target - owned),
        )

    def rejoin(self, member_id: str) -> None:
        """Take note that a member has let go of everything (eager)."""
        if member_id in self._members:
            self._members[member_id].joined = True
            self._settle()

    def release(self, member_id: str, numbers: Iterable[int]) -> None:
        """Let a member give up numbers (cooperative)."""
        for number in numbers:
            if self.owners.get(number) == member_id:
                del self.owners[number]

    def take(self, member_id: str, numbers: Iterable[int]) -> None:
        """Let a member own those of its numbers that nobody owns (cooperative)."""
        member = self._members.get(member_id)
        for number in numbers:
            if member is not None and number in member.target:
                self.owners.setdefault(number, member_id)

    def fence(self, member_id: str, generation: int, numbers: Iterable[int]) -> None:
        """Check that a member may commit for these numbers. Raises: FencedError."""
        self._expel_silent()
        if member_id not in self._members:
            raise FencedError(f"{member_id} is not a member of the group")
        if self.eager and generation != self.generation:
            raise FencedError(f"{member_id} commits for generation {generation}, not {self.generation}")
        for number in numbers:
            if self.owners.get(number) != member_id:
                raise FencedError(f"number {number} is owned by {self.owners.get(number)}, not by {member_id}")
