"""The area under the ROC curve."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

__all__ = ["roc_auc"]


def roc_auc(labels: Sequence[bool], scores: Sequence[float]) -> float | None:
    """Return the chance that a labelled thing has a higher score than another; equal scores count half.

    labels, scores: of the same things. Returns: 0 to 1, exact; None when all labels are the same.
    Source: J. A. Hanley and B. J. McNeil, The meaning and use of the area under a ROC curve, Radiology 1982.

    >>> roc_auc([False, True, False, True], [0.1, 0.2, 0.2, 0.9])
    0.875
    """
    positives = sum(labels)
    negatives = len(labels) - positives
    if not positives or not negatives:
        return None
    below, wins = 0, 0.0
    for _, group in groupby(sorted(zip(scores, labels, strict=True)), key=lambda pair: pair[0]):
        equal = [label for _, label in group]
        hits = sum(equal)
        misses = len(equal) - hits
        wins += hits * (below + misses / 2)
        below += misses
    return wins / (positives * negatives)
