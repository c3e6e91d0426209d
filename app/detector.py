"""What is unusual for one device: half-space trees and ADWIN from `river`, learned online, a reading at a time.

A detector is a fold over its device's readings. What it is made of again (`DetectorState`) is written with each
reading, as numbers and bytes, never as a pickle. The trees themselves hang on the metrics' names and a seed, so of
them only the masses of the leaves are kept: the mass of an inner node is the sum of its leaves'.
Source: S. C. Tan, K. M. Ting and T. F. Liu, Fast anomaly detection for streaming data, IJCAI 2011; A. Bifet and
R. Gavaldà, Learning from time-changing data with adaptive windowing, SDM 2007.

Importing river takes seconds, so this module is imported when the first reading comes (see `app.agents.telemetry`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import exp, sqrt
from typing import Any

from river.anomaly import HalfSpaceTrees
from river.drift import ADWIN

from app.models import DetectorState

__all__ = ["Detector", "Verdict"]

#: Half of river's functions have no types, and two of the names that a state is taken from are private.
_Trees: Any = HalfSpaceTrees
_Window: Any = ADWIN

TREES = 15
HEIGHT = 6
#: Readings that the trees' masses are counted over; a mass is kept as one byte, so no more than 255.
WINDOW = 250
SEED = 7
#: A score so many standard deviations above the mean of all so far is an anomaly.
DEVIATIONS = 2.0
#: Readings behind a start that raise no alert: the trees need a window of them, and the mean some scores.
LEARNING = 2 * WINDOW


class Verdict:
    """What one reading came to: its score (0 to 1), whether it is an anomaly, and the metrics that drift."""

    __slots__ = ("anomalous", "drifting", "score")

    def __init__(self, score: float, anomalous: bool, drifting: list[str]) -> None:
        self.score = score
        self.anomalous = anomalous
        self.drifting = drifting


class Detector:
    """The detector of one device."""

    def __init__(self, metrics: list[str], state: DetectorState | None = None) -> None:
        """Make a new detector of these metrics, or the one that a state stands for."""
        self._metrics = metrics if state is None else state.metrics
        self._readings = 0
        self._means = [0.0] * len(self._metrics)
        self._squares = [0.0] * len(self._metrics)
        self._scores = (0, 0.0, 0.0)
        self._windows: dict[str, Any] = {metric: _Window() for metric in self._metrics}
        self._trees: Any = _Trees(n_trees=TREES, height=HEIGHT, window_size=WINDOW, seed=SEED)
        self._trees.learn_one(dict.fromkeys(self._metrics, 0.5))  # which makes the trees
        self._leaves = [leaf for tree in self._trees.trees for leaf in _leaves(tree)]
        self._put_masses(bytes(len(self._leaves)), None)
        self._trees.counter = 0
        if state is not None:
            self._restore(state)

    def _restore(self, state: DetectorState) -> None:
        self._readings, self._means, self._squares = state.readings, list(state.means), list(state.squares)
        self._scores = state.scores
        for metric, window in state.windows.items():
            self._windows[metric]._helper.__setstate__(window)
        self._put_masses(state.masses, state.before)
        self._trees.counter = state.counter

    def _put_masses(self, masses: bytes, before: bytes | None) -> None:
        self._before = before
        self._trees._first_window = before is None
        pairs = iter(list(zip(masses, before or bytes(len(masses)), strict=True)))
        for tree in self._trees.trees:
            _fill(tree, pairs)

    def state(self) -> DetectorState:
        """Return what the detector is made of again."""
        return DetectorState(
            metrics=self._metrics,
            readings=self._readings,
            means=list(self._means),
            squares=list(self._squares),
            counter=self._trees.counter,
            masses=bytes([leaf.l_mass for leaf in self._leaves]),
            before=self._before,
            windows={metric: window._helper.__getstate__() for metric, window in self._windows.items()},
            scores=self._scores,
        )

    def judge(self, values: Mapping[str, float]) -> Verdict:
        """Score a reading by the ones before it, then learn from it. A metric that it leaves out is no reason."""
        features = {metric: self._squashed(index, values) for index, metric in enumerate(self._metrics)}
        known = {metric: feature for metric, feature in features.items() if feature is not None}
        score = float(self._trees.score_one(known))
        anomalous = self._stands_out(score)
        self._trees.learn_one(known)
        if self._trees.counter == 0:
            self._before = bytes([leaf.r_mass for leaf in self._leaves])
        if self._readings >= WINDOW:
            self._scores = _with(self._scores, score)
        drifting = [metric for metric, feature in known.items() if self._drifts(metric, feature)]
        self._readings += 1
        for index, metric in enumerate(self._metrics):
            if (value := values.get(metric)) is not None:
                before = value - self._means[index]
                self._means[index] += before / self._readings
                self._squares[index] += before * (value - self._means[index])
        return Verdict(score, anomalous, drifting)

    def _squashed(self, index: int, values: Mapping[str, float]) -> float | None:
        """Return a value as a number from 0 to 1: its deviation from the mean so far, by the logistic function."""
        value = values.get(self._metrics[index])
        if value is None:
            return None
        variance = self._squares[index] / self._readings if self._readings else 0.0
        deviations = (value - self._means[index]) / sqrt(variance) if variance > 0 else 0.0
        return 1 / (1 + exp(-max(-20.0, min(20.0, deviations))))

    def _stands_out(self, score: float) -> bool:
        count, mean, squares = self._scores
        return self._readings >= LEARNING and score > mean + DEVIATIONS * sqrt(squares / count)

    def _drifts(self, metric: str, feature: float) -> bool:
        window = self._windows[metric]
        window.update(feature)
        if window.drift_detected:
            self._windows[metric] = _Window()
            return self._readings >= LEARNING
        return False


def _leaves(node: Any) -> Iterator[Any]:
    """Yield the leaves below a node, from left to right."""
    children = getattr(node, "children", None)
    if children is None:
        yield node
    else:
        for child in children:
            yield from _leaves(child)


def _fill(node: Any, masses: Iterator[tuple[int, int]]) -> tuple[int, int]:
    """Give the leaves below a node their masses, and each inner node the sum. Returns: the node's."""
    children = getattr(node, "children", None)
    if children is None:
        node.l_mass, node.r_mass = next(masses)
    else:
        below = [_fill(child, masses) for child in children]
        node.l_mass, node.r_mass = sum(mass for mass, _ in below), sum(mass for _, mass in below)
    return node.l_mass, node.r_mass


def _with(moments: tuple[int, float, float], value: float) -> tuple[int, float, float]:
    count, mean, squares = moments
    before = value - mean
    mean += before / (count + 1)
    return count + 1, mean, squares + before * (value - mean)
