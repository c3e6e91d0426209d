"""Groups in the file: who is a member, who should own which partition numbers, and who does.

    members.tasks   what a member should own: the target, computed anew whenever a member comes, goes or is expelled
    owners          what each member owns: a number changes hands only when its owner has let go of it, or is expelled

So a rebalance stops only what moves, two members never own a number at the same time, and a commit is fenced by one
look at `owners` within its own transaction. Blocking calls; each runs within the transaction of its caller.

A member is expelled when it has been silent for its session timeout. Times are those of the machine since it was
started (`uptime_ms`), which all its processes share and nobody can set: a step of the wall clock expels and keeps
nobody. A sign of life from the future is one from before the machine was started anew.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from pelton.batch import TopicPartition
from pelton.clock import Clock
from pelton.errors import FencedError
from pelton.log.assignment import Candidate, share
from pelton.log.contract import GroupOptions, MemberInfo
from pelton.log.sqlite import records
from pelton.log.sqlite.database import Database

__all__ = ["Membership", "Standing", "rebalance_readers", "uptime_ms"]


def uptime_ms(clock: Clock) -> int:
    """Return the time by which members know each other alive: milliseconds since the machine was started, or so."""
    return int(clock.monotonic() * 1000)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a member stands.

    alive: False when it was expelled and has to join again, or, if replaced, because another one has its instance id.
    target: the numbers it should own; owned: those it does; free: those of the target that it may take now.
    """

    alive: bool
    generation: int = 0
    target: frozenset[int] = frozenset()
    owned: frozenset[int] = frozenset()
    free: frozenset[int] = frozenset()
    standbys: frozenset[int] = frozenset()
    replaced: bool = False


class Membership:
    """One member's view of its group."""

    def __init__(self, db: Database, group_id: str, member_id: str, instance_id: str | None = None) -> None:
        self._db = db
        self.group_id = group_id
        self.member_id = member_id
        self.instance_id = instance_id
        self._me = (group_id, member_id)

    def join(self, options: GroupOptions, now_ms: int, *, instead_of: str = "") -> None:
        """Become a member; a member with the same instance id is replaced, and fenced.

        instead_of: a name that this member had before.
        """
        for member_id in (instead_of, *self._namesakes(), *self._gone(now_ms)):
            self._remove(member_id)
        self._db.execute(
            "INSERT INTO members (group_id, member_id, instance_id, address, topics, held, standby_replicas,"
            " session_timeout_ms, seen_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *self._me,
                self.instance_id,
                options.address,
                json.dumps(sorted(options.topics)),
                json.dumps(sorted(options.held)),
                options.standby_replicas,
                options.session_timeout_ms,
                now_ms,
            ),
        )
        self.rebalance()

    def update(self, options: GroupOptions) -> None:
        """Tell the group what this member reads and has; a change of topics causes a rebalance."""
        told = (json.dumps(sorted(options.topics)), json.dumps(sorted(options.held)))
        before = self._db.execute(
            "SELECT topics FROM members WHERE group_id = ? AND member_id = ?", self._me
        ).fetchone()
        self._db.execute(
            "UPDATE members SET topics = ?, held = ? WHERE group_id = ? AND member_id = ?", (*told, *self._me)
        )
        if before is not None and before[0] != told[0]:
            self.rebalance()

    def leave(self) -> None:
        """Leave; what it owned is free at once."""
        self._remove(self.member_id)
        self.rebalance()

    def dismiss(self) -> bool:
        """Take the other members with this instance id out of the group; return whether there was one."""
        namesakes = self._namesakes()
        for member_id in namesakes:
            self._remove(member_id)
        if namesakes:
            self.rebalance()
        return bool(namesakes)

    def _remove(self, member_id: str) -> None:
        for table in ("members", "owners"):
            statement = f"DELETE FROM {table} WHERE group_id = ? AND member_id = ?"  # noqa: S608 - our two tables
            self._db.execute(statement, (self.group_id, member_id))

    def _namesakes(self) -> list[str]:
        """Return the other members with this instance id."""
        rows = self._db.execute(
            "SELECT member_id FROM members WHERE group_id = ? AND instance_id = ? AND member_id != ?",
            (self.group_id, self.instance_id, self.member_id),
        )
        return [member_id for (member_id,) in rows]

    def beat(self, now_ms: int, *, judges: bool = True) -> bool:
        """Say that this member lives, and, if it judges, expel those that do not any more.

        Returns: whether it is a member.
        """
        told = self._db.execute(
            "UPDATE members SET seen_ms = ? WHERE group_id = ? AND member_id = ?", (now_ms, *self._me)
        )
        gone = self._gone(now_ms) if judges and told.rowcount else []
        for member_id in gone:
            self._remove(member_id)
        if gone:
            self.rebalance()
        return bool(told.rowcount)

    def _gone(self, now_ms: int) -> list[str]:
        """Return the other members that have been silent for too long."""
        rows = self._db.execute(
            "SELECT member_id FROM members"
            " WHERE group_id = ? AND member_id != ? AND abs(? - seen_ms) > session_timeout_ms",
            (*self._me, now_ms),
        )
        return [member_id for (member_id,) in rows]

    def rebalance(self) -> None:
        """Compute who should own what, and begin a new generation."""
        db = self._db
        db.execute(
            "DELETE FROM owners WHERE group_id = ?"
            " AND member_id NOT IN (SELECT member_id FROM members WHERE group_id = ?)",
            (self.group_id, self.group_id),
        )
        rows = db.execute(
            "SELECT member_id, topics, held, standby_replicas FROM members WHERE group_id = ?", (self.group_id,)
        ).fetchall()
        topics = {topic for _, names, _, _ in rows for topic in json.loads(names)}
        numbers = max(records.topics(db, topics).values(), default=0)
        owned = self._owners()
        candidates = [
            Candidate(
                member_id,
                frozenset(number for number, owner in owned.items() if owner == member_id),
                frozenset(json.loads(held)),
            )
            for member_id, _, held, _ in rows
        ]
        standbys = max((row[3] for row in rows), default=0)
        for member_id, mine in share(candidates, partitions=numbers, standby_replicas=standbys).items():
            db.execute(
                "UPDATE members SET tasks = ?, standbys = ? WHERE group_id = ? AND member_id = ?",
                (json.dumps(sorted(mine.tasks)), json.dumps(sorted(mine.standbys)), self.group_id, member_id),
            )
        db.execute(
            "INSERT INTO groups VALUES (?, 1) ON CONFLICT (group_id) DO UPDATE SET generation = generation + 1",
            (self.group_id,),
        )

    def _owners(self) -> Mapping[int, str]:
        rows = self._db.execute("SELECT number, member_id FROM owners WHERE group_id = ?", (self.group_id,))
        return dict(rows.fetchall())

    def standing(self) -> Standing:
        """Return where this member stands."""
        row = self._db.execute(
            "SELECT m.tasks, m.standbys, g.generation FROM members m JOIN groups g USING (group_id)"
            " WHERE m.group_id = ? AND m.member_id = ?",
            self._me,
        ).fetchone()
        if row is None:
            return Standing(alive=False, replaced=bool(self._namesakes()))
        owners = self._owners()
        target = frozenset[int](json.loads(row[0]))
        owned = frozenset(number for number, owner in owners.items() if owner == self.member_id)
        return Standing(True, row[2], target, owned, target - frozenset(owners), frozenset[int](json.loads(row[1])))

    def take(self, numbers: Iterable[int]) -> None:
        """Own these of the target's numbers that nobody owns; none when this member was expelled meanwhile."""
        free = self.standing().free
        rows = [(self.group_id, number, self.member_id) for number in numbers if number in free]
        self._db.executemany("INSERT OR IGNORE INTO owners VALUES (?, ?, ?)", rows)

    def release(self, numbers: Iterable[int]) -> None:
        """Let go of these numbers."""
        rows = [(self.group_id, number, self.member_id) for number in numbers]
        self._db.executemany("DELETE FROM owners WHERE group_id = ? AND number = ? AND member_id = ?", rows)

    def fence(self, partitions: Iterable[TopicPartition]) -> None:
        """Check that this member still owns what it is about to commit for.

        Raises: FencedError.
        """
        owners = self._owners()
        for partition in partitions:
            owner = owners.get(partition.partition)
            if owner != self.member_id:
                raise FencedError(
                    f"{partition} is owned by {owner or 'nobody'} now, not by {self.member_id}",
                    topic=partition.topic,
                    partition=partition.partition,
                )
        if self.member_id not in set(owners.values()) and not self.standing().alive:
            raise FencedError(f"{self.member_id} is not a member of {self.group_id} any more")

    def members(self) -> list[MemberInfo]:
        """Return all members."""
        rows = self._db.execute(
            "SELECT member_id, address, tasks, standbys FROM members WHERE group_id = ? ORDER BY member_id",
            (self.group_id,),
        )
        return [
            MemberInfo(member_id, address, frozenset(json.loads(tasks)), frozenset(json.loads(standbys)))
            for member_id, address, tasks, standbys in rows.fetchall()
        ]


def rebalance_readers(db: Database, topics: Collection[str]) -> None:
    """Begin a new generation of every group that reads one of these topics, which were made or deleted."""
    rows = db.execute("SELECT group_id, topics FROM members").fetchall()
    for group_id in sorted({group_id for group_id, names in rows if not {*json.loads(names)}.isdisjoint(topics)}):
        Membership(db, group_id, "").rebalance()
