"""What a soak has shown: for people, and as one JSON object."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tests.chaos.oracle import Verdict
from tests.chaos.schedule import KINDS


@dataclass(slots=True)
class Report:
    """A soak's figures. verdicts: what was judged -> what came of it. failures: everything else that must not be."""

    seconds: float
    seed: int
    events: int = 0
    repeated: int = 0
    windows: int = 0
    faults: Counter[str] = field(default_factory=Counter[str])
    recoveries: Sequence[tuple[str, float]] = ()
    standstill_s: float = 0.0
    outage_standstill_s: float = 0.0
    verdicts: dict[str, Verdict] = field(default_factory=dict[str, Verdict])
    failures: list[str] = field(default_factory=list[str])

    @property
    def clean(self) -> bool:
        """Whether nothing is missing, duplicate, foreign or misordered, and nothing else went wrong."""
        return bool(self.verdicts) and not self.failures and all(one.clean for one in self.verdicts.values())

    def figures(self) -> dict[str, object]:
        """Return the figures as the JSON object has them."""
        total = sum(self.verdicts.values(), Verdict())
        outputs = sum(one.judged for name, one in self.verdicts.items() if name in ("windows", "copies", "letters"))
        took = [seconds for _, seconds in self.recoveries]
        return {
            "seconds": round(self.seconds),
            "seed": self.seed,
            "events": self.events,
            **{kind: self.faults[kind] for kind in KINDS},
            "windows": self.windows,
            "outputs": outputs,
            "missing": total.missing,
            "duplicate": total.duplicate,
            "foreign": total.foreign,
            "misordered": total.misordered,
            "failures": len(self.failures),
            "recovery_p50_s": quantile(took, 0.5),
            "recovery_p99_s": quantile(took, 0.99),
            "longest_without_progress_s": round(self.standstill_s, 1),
            "longest_without_progress_with_outages_s": round(self.outage_standstill_s, 1),
        }

    def lines(self) -> Iterator[str]:
        """Yield the report, the JSON object last."""
        yield f"{self.seconds:.0f} s with seed {self.seed}: {self.events:,} events, {self.repeated:,} sent again"
        yield ""
        yield f"{'fault':<16} {'applied':>7}   recovery p50 / p99 / longest, s"
        for kind in KINDS:
            took = [seconds for one, seconds in self.recoveries if one == kind]
            longest = f"{max(took):.1f}" if took else "-"
            yield f"{kind:<16} {self.faults[kind]:>7}   {quantile(took, 0.5)} / {quantile(took, 0.99)} / {longest}"
        yield ""
        yield from self.judged()
        yield from (f"FAILURE: {failure}" for failure in self.failures)
        yield ""
        yield "clean" if self.clean else "NOT CLEAN"
        yield json.dumps(self.figures())

    def judged(self) -> Iterator[str]:
        """Yield what was judged, and what came of it."""
        yield f"{'judged':<20} {'due':>9} {'missing':>9} {'duplicate':>9} {'foreign':>9} {'misordered':>10}"
        for name, one in self.verdicts.items():
            numbers = f"{one.missing:>9} {one.duplicate:>9} {one.foreign:>9} {one.misordered:>10}"
            yield f"{name:<20} {one.judged:>9} {numbers}"
        yield from (f"  {example}" for one in self.verdicts.values() for example in one.examples[:20])


def quantile(values: Sequence[float], share: float) -> float | None:
    """Return the value that a share of all do not exceed, to a tenth; None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 1)
