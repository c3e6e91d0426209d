"""`faust -A app evaluate-telemetry`: how well the detectors tell labelled readings from others."""

from __future__ import annotations

import msgspec

from app.bank import app, readings, scored_readings
from app.logbook import entries
from app.models import Reading, ScoredReading
from app.roc import roc_auc
from pelton import AppCommand

__all__ = ["evaluate_telemetry"]


@app.command()
async def evaluate_telemetry(self: AppCommand) -> None:
    """Compare telemetry's alerts with the labels."""
    labels: dict[tuple[str, float], bool] = {}
    async for entry in entries(readings.get_topic_name()):
        if (label := entry.headers.get("label")) is not None:
            reading = msgspec.json.decode(entry.value, type=Reading)
            labels[reading.device, reading.ts] = bool(label)
    judged: dict[str, list[tuple[bool, ScoredReading]]] = {}
    async for entry in entries(scored_readings.get_topic_name()):
        scored = msgspec.json.decode(entry.value, type=ScoredReading)
        truth = labels.get((scored.device, scored.ts))
        if truth is not None:
            judged.setdefault(_kind(scored.device), []).append((truth, scored))
    print(f"{'devices':<12}{'readings':>10}{'labelled':>10}{'ROC AUC':>9}{'alerts':>8}{'precision':>11}{'recall':>8}")
    for kind, pairs in sorted(judged.items()):
        print(_row(kind, pairs))


def _kind(device: str) -> str:
    """Return what devices have in common: the name without its number."""
    return device.rstrip("0123456789").rstrip("-")


def _row(kind: str, pairs: list[tuple[bool, ScoredReading]]) -> str:
    truth = [label for label, _ in pairs]
    auc = roc_auc(truth, [scored.score for _, scored in pairs])
    alerts = sum(scored.alert for _, scored in pairs)
    right = sum(label and scored.alert for label, scored in pairs)
    precision = f"{right / alerts:.1%}" if alerts else "-"
    recall = f"{right / sum(truth):.1%}" if any(truth) else "-"
    row = f"{kind:<12}{len(pairs):>10,}{sum(truth):>10,}{'-' if auc is None else f'{auc:.4f}':>9}"
    return f"{row}{alerts:>8,}{precision:>11}{recall:>8}"
