"""What is shown of deployed models."""

from __future__ import annotations

from typing import Any

import msgspec

from app.everywhere import rows_of
from app.models import VersionQuality
from app.models.registry import version_key
from app.tables import model_registry, version_quality

__all__ = ["models_view"]


async def models_view() -> dict[str, Any]:
    """Return each model: versions, latest first, with how they do; whose share; what was decided lately.

    The registry is whole on every worker. Raises: UnavailableError when not all can be told now.
    """
    qualities: dict[str, VersionQuality] = {}
    for key, part in await rows_of(version_quality):
        qualities[key] = qualities.get(key, VersionQuality()).plus(part)
    told: dict[str, Any] = {}
    for name, registry in sorted(model_registry.items()):
        versions = [
            {**msgspec.to_builtins(one), "quality": _quality(qualities.get(version_key(name, one.version)))}
            for one in reversed(registry.versions)
        ]
        told[name] = {
            "versions": versions,
            "canary_share": registry.share,
            "before": registry.past[-1:],
            "outcomes": registry.outcomes,
        }
    return told


def _quality(quality: VersionQuality | None) -> dict[str, Any]:
    found = quality if quality is not None else VersionQuality()
    return {**msgspec.to_builtins(found), "accuracy": found.accuracy}
