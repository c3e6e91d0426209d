"""The results as people and as programs read them: tables, ratios, latest.json."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from bench.latency import Latency
from bench.throughput import Throughput

__all__ = ["as_json", "insert_figures", "latency_table", "ratios", "throughput_table", "write_json"]

FIGURES_BEGIN = "<!-- figures -->"
FIGURES_END = "<!-- /figures -->"


def throughput_table(results: Sequence[Throughput]) -> str:
    """Return one line a system, in Markdown."""
    header = (
        "system", "log", "guarantee", "records", "records/s", "CPU-s per million",
        "peak RSS MiB", "wall s", "machine loops/s", "correct",
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
            "yes" if not result.faults else f"NO: {result.faults[0]}",
        )
        for result in results
    ]
    return _table(header, rows)


def latency_table(results: Sequence[Latency]) -> str:
    """Return one line a system, in Markdown; latencies in milliseconds from produced to alert seen."""
    header = ("system", "log", "records/s", "alerts", "lost", "p50 ms", "p99 ms", "max ms", "CPU of one core")
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
        )
        for result in results
    ]
    return _table(header, rows)


def ratios(results: Sequence[Throughput]) -> list[str]:
    """Say how many times faster, and cheaper in CPU, each other system is than the last, the baseline.

    Systems that failed are left out; no lines when fewer than two are left.
    """
    measured = [result for result in results if result.records_per_s > 0]
    if len(measured) < 2:
        return []
    baseline = measured[-1]
    return [
        f"- {other.system.label}: {other.records_per_s / baseline.records_per_s:,.1f} times the records/s of "
        f"{baseline.system.label}, at 1/{baseline.cpu_s_per_million / other.cpu_s_per_million:,.1f} of the CPU a record"
        for other in measured[:-1]
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


def insert_figures(text: str, page: Path) -> None:
    """Replace what stands between the two figures marks of a page.

    Raises: ValueError when the page does not have both marks.
    """
    before, opened, rest = page.read_text().partition(FIGURES_BEGIN)
    _, closed, after = rest.partition(FIGURES_END)
    if not (opened and closed):
        raise ValueError(f"{page} lacks {FIGURES_BEGIN} or {FIGURES_END}")
    page.write_text(f"{before}{FIGURES_BEGIN}\n{text.strip()}\n{FIGURES_END}{after}")


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )
