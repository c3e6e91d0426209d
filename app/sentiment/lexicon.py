"""VADER: a lexicon and rules for negations, degrees and punctuation. It knows English, and learns nothing.

Source: C. J. Hutto and E. Gilbert, VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media Text,
ICWSM 2014. The thresholds of the labels are its authors'.
"""

from __future__ import annotations

from functools import cache
from typing import Any, cast

from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer  # pyright: ignore[reportMissingTypeStubs]

from app.models import Label

__all__ = ["label_of", "polarity"]

THRESHOLD = 0.05


def polarity(text: str) -> float:
    """Return how a text sounds, from -1 to 1.

    >>> polarity("The app is great!") > 0.5 > -0.3 > polarity("I hate the fees.")
    True
    """
    return float(_analyzer().polarity_scores(text)["compound"])


def label_of(score: float) -> Label:
    """Return the label of a polarity."""
    return "positive" if score >= THRESHOLD else "negative" if score <= -THRESHOLD else "neutral"


@cache
def _analyzer() -> Any:
    """Return the analyzer; it reads its lexicon of 7,500 words when it is first needed."""
    return cast(Any, SentimentIntensityAnalyzer)()
