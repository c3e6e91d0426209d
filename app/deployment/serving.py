"""Which versions answer, and what they say: the registry as a worker follows it, batch by batch."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol
from zlib import crc32

from app.deployment.artifacts import DamagedError, label_of, unpack
from app.models import Label, ModelVersion, Prediction, Registry
from app.models.registry import STAGES, Role, version_key
from app.sentiment import Learner

__all__ = ["Loaded", "Serving", "Shelf", "predictions_of"]

logger = logging.getLogger(__name__)


class Loaded(NamedTuple):
    """A version in memory."""

    version: str
    learner: Learner


class Serving(NamedTuple):
    """Who answers in a batch. share: of the subjects, whose answer is the canary's, where there is one."""

    production: Loaded | None = None
    canary: Loaded | None = None
    shadow: Loaded | None = None
    share: float = 0.0


class _Rows(Protocol):
    """The table of artifacts: key -> bytes."""

    def get(self, key: str, default: None = None, /) -> bytes | None: ...


class Shelf:
    """The versions of one model that an agent has in memory; what a batch needs, it loads at the batch's beginning.

    A version that cannot be loaded (it has not arrived yet, or its row is damaged) is not asked: in production, the one
    that answered before goes on, or, at a start, the latest of the past that can be loaded.
    """

    def __init__(self, name: str, registry: Callable[[str], Registry], artifacts: _Rows) -> None:
        self._name = name
        self._registry = registry
        self._artifacts = artifacts
        self._loaded: dict[str, Loaded] = {}  # by sha256
        self._refused: dict[str, str] = {}
        self._serving = Serving()

    def serving(self) -> Serving:
        """Return who answers from now on."""
        registry = self._registry(self._name)
        wanted = {stage: registry.at(stage) for stage in STAGES}
        found = {stage: self._load(one) if one is not None else None for stage, one in wanted.items()}
        production = found["production"]
        if production is None and wanted["production"] is not None:
            production = self._serving.production or self._latest_of(registry)
        self._serving = Serving(production, found["canary"], found["shadow"], registry.share)
        asked = {one.sha256 for one in wanted.values() if one is not None}
        self._loaded = {digest: one for digest, one in self._loaded.items() if digest in asked or one is production}
        return self._serving

    def _latest_of(self, registry: Registry) -> Loaded | None:
        known = [registry.of(version) for version in reversed(registry.past)]
        return next((found for one in known if one is not None and (found := self._load(one)) is not None), None)

    def _load(self, one: ModelVersion) -> Loaded | None:
        held = self._loaded.get(one.sha256)
        if held is not None and held.version == one.version:
            return held
        data = self._artifacts.get(version_key(self._name, one.version))
        try:
            if data is None:
                raise DamagedError("it is not here yet")
            made = Loaded(one.version, unpack(data, one.sha256).learner())
        except DamagedError as error:
            if self._refused.get(one.version) != str(error):
                logger.warning("model %s, version %s: refused, %s", self._name, one.version, error)
                self._refused[one.version] = str(error)
            return None
        logger.info("model %s, version %s: loaded", self._name, one.version)
        self._loaded[one.sha256] = made
        return made


def predictions_of(
    name: str, serving: Serving, subject: str, text: str, ts: float, truth: Label | None = None
) -> Iterator[Prediction]:
    """Yield what is said of a subject: the answer, by production or canary, and the shadow's beside it.

    Whose answer it is follows from the subject and the canary's version, so it is the same whenever it is asked.
    """
    answers: list[tuple[Loaded, Role]] = []
    if serving.canary is not None and _part(f"{name}/{serving.canary.version}/{subject}") < serving.share:
        answers.append((serving.canary, "canary"))
    elif serving.production is not None:
        answers.append((serving.production, "production"))
    if serving.shadow is not None:
        answers.append((serving.shadow, "shadow"))
    for (version, learner), role in answers:
        label, confidence = label_of(learner, text)
        yield Prediction(subject, name, version, role, label, round(confidence, 4), ts, truth)


def _part(text: str) -> float:
    """Return where a text lies among all: a number in [0, 1) that follows from it alone."""
    return crc32(text.encode()) / 2**32
