"""The results as people and as programs read them: tables, ratios, latest.json."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from bench.latency import Latency
from bench.throughput import Throughput

__all__ = [
    "as_json",
    "each_round",
    "insert_figures",
    "latency_table",
    "middle",
    "ratios",
    "throughput_table",
    "write_json",
]

FIGURES_BEGIN = "<!-- figures -->"
FIGURES_END = "<!-- /figures -->"


def middle(results: Sequence[Throughput]) -> list[Throughput]:
    """Return of each system, in order, the run of middle speed (of two the slower); a wrong one before any other."""
    return [
        next((run for run in runs if run.faults), sorted(runs, key=lambda run: run.records_per_s)[(len(runs) - 1) // 2])
        for runs in _by_system(results)
    ]


def each_round(results: Sequence[Throughput]) -> list[str]:
    """Say what each system did in each round, in order."""
    return [
        f"- {runs[0].system.label}: " + ", ".join(f"{run.records_per_s:,.0f}" for run in runs) + " records/s"
        for runs in _by_system(results)
    ]


def throughput_table(results: Sequence[Throughput]) -> str:
    """Return one line a system, in Markdown."""
    header = (
        "system", "log", "guarantee", "records", "records/s", "CPU-s per million",
        "peak RSS MiB", "wall s", "machine loops/s", "stolen", "correct",
    )  # fmt: skip
    rows = [
        (
            result.system.name,
            result.system.log,
            result.system.guarantee,
            f"{result.records:,}",
            f"{result.records_per_s:,.0f}",
            f"{result.cpu_s_per_million:,.2f}",
            f"{result.peak_rss_mib:,.0f}",
            f"{result.wall_s:,.1f}",
            f"{result.machine_loops_per_s / 1e6:,.1f} M",
            f"{result.stolen_share:.0%}",
            "yes" if not result.faults else f"NO: {result.faults[0]}",
        )
        for result in results
    ]
    return _table(header, rows)


def latency_table(results: Sequence[Latency]) -> str:
    """Return one line a system, in Markdown; latencies in milliseconds from produced to alert seen."""
    header = ("system", "log", "records/s", "alerts", "lost", "p50 ms", "p99 ms", "max ms", "CPU of one core", "stolen")
    rows = [
        (
            result.system.name,
            result.system.log,
            f"{result.rate:,}",
            f"{result.alerts:,}",
            str(result.lost),
            f"{result.p50_ms:,.1f}",
            f"{result.p99_ms:,.1f}",
            f"{result.max_ms:,.1f}",
            f"{result.cpu_share:.0%}",
            f"{result.stolen_share:.0%}",
        )
        for result in results
    ]
    return _table(header, rows)


def ratios(results: Sequence[Throughput]) -> list[str]:
    """Say how many times faster, and cheaper in CPU, pelton is than each other system, on either log.

    Systems that failed are left out.
    """
    measured = [result for result in results if result.records_per_s > 0]
    ours = [result for result in measured if result.system.name.startswith("pelton")]
    return [
        f"- {own.system.label}: {own.records_per_s / other.records_per_s:,.1f} times the records/s of "
        f"{other.system.label}, at 1/{other.cpu_s_per_million / own.cpu_s_per_million:,.1f} of the CPU a record"
        for other in measured
        if other not in ours
        for own in ours
    ]


def as_json(results: Sequence[Throughput]) -> list[dict[str, object]]:
    """Return the results with exactly the published fields."""
    return [
        {
            "system": result.system.name,
            "log": result.system.log,
            "work": "W1",
            "records_per_s": round(result.records_per_s, 1),
            "cpu_s_per_million": round(result.cpu_s_per_million, 3),
            "peak_rss_mib": round(result.peak_rss_mib, 1),
            "correct": not result.faults,
        }
        for result in results
    ]


def write_json(rows: Sequence[object], path: Path) -> None:
    """Write rows, one a line, so that a diff of two results is readable."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("[\n" + ",\n".join(f"  {json.dumps(row)}" for row in rows) + "\n]\n")


def insert_figures(text: str, page: Path, marks: tuple[str, str] = (FIGURES_BEGIN, FIGURES_END)) -> None:
    """Replace what stands between the two marks of a page.

    Raises: ValueError when the page does not have both marks.
    """
    begin, end = marks
    before, opened, rest = page.read_text().partition(begin)
    _, closed, after = rest.partition(end)
    if not (opened and closed):
        raise ValueError(f"{page} lacks {begin} or {end}")
    page.write_text(f"{before}{begin}\n{text.strip()}\n{end}{after}")


def _by_system(results: Sequence[Throughput]) -> list[list[Throughput]]:
    labels = dict.fromkeys(result.system.label for result in results)
    return [[result for result in results if result.system.label == label] for label in labels]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )
