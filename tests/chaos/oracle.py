"""The judge: compares what was found with what must be there, and knows nothing of the engine.

Whatever is compared, the findings have the same four names: *missing*, *duplicate* (once too often), *foreign* (never
to be there) and *misordered* (all there, but two of one key have changed places).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from tests.chaos.events import event, identity

#: How many examples a verdict names.
EXAMPLES = 5

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a comparison has found. judged: how many things were due. examples: the first findings, in words."""

    judged: int = 0
    missing: int = 0
    duplicate: int = 0
    foreign: int = 0
    misordered: int = 0
    examples: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        """Whether all is as it must be."""
        return not (self.missing or self.duplicate or self.foreign or self.misordered)

    def __add__(self, other: Verdict) -> Verdict:
        return Verdict(
            self.judged + other.judged,
            self.missing + other.missing,
            self.duplicate + other.duplicate,
            self.foreign + other.foreign,
            self.misordered + other.misordered,
            self.examples + other.examples,
        )


def judge_input(seed: int, partition: int, values: Sequence[bytes]) -> tuple[Verdict, int]:
    """Judge the events of one partition as the log has them; return also how many of them are repeated.

    A producer that hears nothing of its records sends them again, so repetitions are no fault: the log is the truth,
    and the program must process each of its records once. None may be lacking, though, and none may be another.
    """
    seen: Counter[int] = Counter()
    foreign: list[str] = []
    for offset, value in enumerate(values):
        found = identity(value)
        if found is None or found[0] != partition or event(seed, *found)[1] != value:
            foreign.append(f"input {partition} at {offset}: foreign {value!r}")
        else:
            seen[found[1]] += 1
    lacking = sorted(set(range(max(seen, default=-1) + 1)) - seen.keys())
    examples = [*foreign, *(f"input {partition}: event {sequence} is missing" for sequence in lacking)]
    verdict = Verdict(len(seen), len(lacking), 0, len(foreign), 0, tuple(examples[:EXAMPLES]))
    return verdict, seen.total() - len(seen)


def judge_sequences(what: str, expected: Mapping[K, Sequence[V]], found: Mapping[K, Sequence[V]]) -> Verdict:
    """Judge what each key was sent, in order."""
    verdict = Verdict()
    for key in expected.keys() | found.keys():
        due, there = expected.get(key, ()), found.get(key, ())
        if list(due) != list(there):
            one = _unordered(f"{what} {key}", due, there)
            if one.clean:
                swapped = [(a, b) for a, b in zip(due, there, strict=True) if a != b]
                example = f"{what} {key}: {swapped[0][1]!r} in the place of {swapped[0][0]!r}"
                one = Verdict(len(due), misordered=len(swapped), examples=(example,))
            verdict += one
        else:
            verdict += Verdict(len(due))
    return verdict


def judge_collection(what: str, expected: Iterable[Hashable], found: Iterable[Hashable]) -> Verdict:
    """Judge things whose order means nothing."""
    return _unordered(what, list(expected), list(found))


def _unordered(what: str, expected: Sequence[V], found: Sequence[V]) -> Verdict:
    due, there = Counter(expected), Counter(found)
    missing, extra = due - there, there - due
    duplicate = Counter({value: count for value, count in extra.items() if value in due})
    foreign = extra - duplicate
    examples = [
        f"{what}: {kind} {value!r}"
        for kind, values in (("missing", missing), ("duplicate", duplicate), ("foreign", foreign))
        for value in values
    ]
    return Verdict(len(expected), missing.total(), duplicate.total(), foreign.total(), 0, tuple(examples[:EXAMPLES]))


def judge_table(what: str, expected: Mapping[K, V], found: Mapping[K, V], size: Callable[[V], int]) -> Verdict:
    """Judge a table that adds up.

    size: of a value, how much went into it. More than is due was added twice, less was lost.
    """
    verdict = Verdict()
    for key in expected.keys() | found.keys():
        if key not in found:
            verdict += Verdict(1, missing=1, examples=(f"{what} {key}: missing",))
        elif key not in expected:
            verdict += Verdict(0, foreign=1, examples=(f"{what} {key}: foreign {found[key]!r}",))
        elif expected[key] != found[key]:
            due, there = size(expected[key]), size(found[key])
            verdict += Verdict(
                1,
                missing=int(there < due),
                duplicate=int(there > due),
                foreign=int(there == due),
                examples=(f"{what} {key}: expected {expected[key]!r}, found {found[key]!r}",),
            )
        else:
            verdict += Verdict(1)
    return verdict
