"""Find what is unusual, cheapest first: statistics look at every payment, a model at the few that they select.

Lines of logs and readings of devices are selected where they are looked at anyway, in `app.agents.logs` and
`app.agents.telemetry`. The model's answers are recorded, so that a crash asks, and pays, for none of them again, and
alerts of nothing twice. How often it is asked in a minute is bounded, for all of them together; what comes above that
is judged by the statistics, which the judgement says.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from app.anomaly import Judge, Opinion, judged, of_payment, signals_of
from app.bank import anomaly_alerts, app, feedback, judgements, model, suspects, transactions
from app.models import Feedback, Judgement, Suspect, Transaction
from app.tables.anomalies import habits, judgements_of, surprises, verdict_counts
from pelton import Stream

__all__ = ["hear_feedback", "judge_suspects", "select_payments"]

judge = Judge(model)


@app.agent(transactions, sink=[suspects])
async def select_payments(stream: Stream[Transaction]) -> AsyncIterator[Suspect]:
    """Send on what surprises, and a sample of the rest; then learn from the payment."""
    async for tx in stream:
        habit, usual = habits[tx.account], surprises["payments"]
        signals = signals_of(habit, tx)
        suspect = of_payment(tx, habit, signals, usual)
        if suspect is not None:
            yield suspect
        habits[tx.account] = habit.after(tx)
        surprises["payments"] = usual.after(sum(signals.values()))


@app.agent(suspects, sink=[judgements])
async def judge_suspects(stream: Stream[Suspect]) -> AsyncIterator[Judgement]:
    """Judge each suspect, alert where it is anomalous, and remember it."""
    async for suspect, opinion in stream.map_async(ask, concurrency=8, order="key").pairs():
        found, known = judged(suspect, opinion), judgements_of[suspect.key]
        if known.of(found.id) is not None:
            continue  # the same record, sent again
        judgements_of[suspect.key] = known.with_judgement(found)
        row = _row(found)
        verdict_counts[row] = verdict_counts[row].plus(found, count=1, right=known.said.get(found.id))
        if found.anomalous:
            await anomaly_alerts.send(key=found.key, value=found)
        yield found


async def ask(suspect: Suspect) -> Opinion:
    """Return the model's opinion; it is told what people said of the same account or service."""
    return await judge.opinion(suspect, judgements_of[suspect.key])


@app.agent(feedback)
async def hear_feedback(stream: Stream[Feedback]) -> None:
    """Count what people say; who says something else about the same judgement has changed their mind."""
    async for said in stream:
        known = judgements_of[said.key]
        found, before = known.of(said.judgement), known.said.get(said.judgement)
        judgements_of[said.key] = known.with_feedback(said)
        if found is None:
            continue
        counts = verdict_counts[_row(found)].plus(found, right=said.right)
        verdict_counts[_row(found)] = counts if before is None else counts.plus(found, right=before, times=-1)


def _row(judgement: Judgement) -> str:
    return f"{judgement.source}/{'selected' if judgement.selected else 'sampled'}/{judgement.by}"
