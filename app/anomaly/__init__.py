"""Anomalies: statistics choose what is looked at, a model or the same statistics judge it, and people have a say."""

from app.anomaly.judging import Judge, Opinion, judged
from app.anomaly.surprise import signals_of
from app.anomaly.suspects import of_line, of_payment, of_reading

__all__ = ["Judge", "Opinion", "judged", "of_line", "of_payment", "of_reading", "signals_of"]
