"""Who gets which partition numbers."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from pelton.log.assignment import Candidate, Share, share

NUMBERS = 12


@st.composite
def groups(draw: st.DrawFn) -> list[Candidate]:
    """Members with numbers that no two of them process; what they hold may overlap."""
    names = draw(st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=7, unique=True))
    owners = draw(st.lists(st.sampled_from([*names, None]), min_size=NUMBERS, max_size=NUMBERS))
    held = st.frozensets(st.integers(0, NUMBERS + 3))
    return [
        Candidate(name, frozenset(number for number, owner in enumerate(owners) if owner == name), draw(held))
        for name in names
    ]


@given(groups(), st.integers(0, NUMBERS), st.integers(0, 3))
def test_every_number_has_one_owner_and_shares_are_even(group: list[Candidate], numbers: int, standbys: int) -> None:
    shares = share(group, partitions=numbers, standby_replicas=standbys)
    assert sorted(number for one in shares.values() for number in one.tasks) == list(range(numbers))
    sizes = [len(one.tasks) for one in shares.values()]
    assert max(sizes) - min(sizes) <= 1


@given(groups(), st.integers(0, 3))
def test_the_order_of_the_members_does_not_matter(group: list[Candidate], standbys: int) -> None:
    first = share(group, partitions=NUMBERS, standby_replicas=standbys)
    assert share(group[::-1], partitions=NUMBERS, standby_replicas=standbys) == first


@given(groups())
def test_no_more_moves_than_evenness_asks_for(group: list[Candidate]) -> None:
    shares = share(group, partitions=NUMBERS, standby_replicas=0)
    small, larger = divmod(NUMBERS, len(group))
    had = sorted((len(one.tasks) for one in group), reverse=True)
    # The most that can stay: the members that have most get the larger shares.
    most = sum(min(count, small + (rank < larger)) for rank, count in enumerate(had))
    assert sum(len(one.tasks & shares[one.member_id].tasks) for one in group) == most


@given(groups(), st.integers(0, 3))
def test_a_settled_group_stays_as_it_is(group: list[Candidate], standbys: int) -> None:
    shares = share(group, partitions=NUMBERS, standby_replicas=standbys)
    settled = [Candidate(one.member_id, shares[one.member_id].tasks, one.held) for one in group]
    assert share(settled, partitions=NUMBERS, standby_replicas=standbys) == shares


@given(groups(), st.integers(0, 3))
def test_standbys_are_with_others_and_as_many_as_there_can_be(group: list[Candidate], standbys: int) -> None:
    shares = share(group, partitions=NUMBERS, standby_replicas=standbys)
    assert all(one.tasks.isdisjoint(one.standbys) for one in shares.values())
    copies = Counter(number for one in shares.values() for number in one.standbys)
    assert all(copies[number] == min(standbys, len(group) - 1) for number in range(NUMBERS))


def test_numbers_go_where_their_state_is() -> None:
    group = [Candidate("a", frozenset(), frozenset({2, 3})), Candidate("b", frozenset(), frozenset({0, 1, 3}))]
    assert share(group, partitions=4, standby_replicas=1) == {
        "a": Share(frozenset({2, 3}), frozenset({0, 1})),
        "b": Share(frozenset({0, 1}), frozenset({2, 3})),
    }


def test_standbys_go_where_the_state_is_before_they_go_where_little_is() -> None:
    group = [
        Candidate("a", frozenset({0}), frozenset()),
        Candidate("b", frozenset(), frozenset()),
        Candidate("c", frozenset(), frozenset({0})),
    ]
    assert share(group, partitions=1, standby_replicas=1)["c"].standbys == {0}


def test_who_does_a_number_keeps_it_from_who_only_holds_it() -> None:
    group = [Candidate("a", frozenset(), frozenset({0, 1})), Candidate("b", frozenset({0}), frozenset())]
    assert share(group, partitions=2, standby_replicas=0)["b"].tasks == {0}


def test_nobody_and_nothing() -> None:
    assert share([], partitions=4, standby_replicas=1) == {}
    idle = Candidate("a", frozenset({9}), frozenset({9}))
    assert share([idle], partitions=0, standby_replicas=1) == {"a": Share(frozenset(), frozenset())}
