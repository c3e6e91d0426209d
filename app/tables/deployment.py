"""Models that are deployed. Every worker holds all of registry and artifacts; quality is by partition and version."""

from __future__ import annotations

from app.bank import app
from app.models import Prediction, Registry, VersionQuality

__all__ = ["model_artifacts", "model_registry", "unjudged", "version_quality"]

model_registry = app.GlobalTable(
    "model_registry",
    default=Registry,
    key_type=str,
    value_type=Registry,
    partitions=4,
    help="The versions of each model, and who is asked.",
)

model_artifacts = app.GlobalTable(
    "model_artifacts",
    key_type=str,
    value_type=bytes,
    partitions=4,
    help="What each version is, packed.",
)

version_quality = app.Table(
    "version_quality",
    default=VersionQuality,
    key_type=str,
    value_type=VersionQuality,
    partitions=4,
    help="How right a version is, in this partition.",
)

unjudged = app.Table(
    "unjudged_predictions",
    default=list[Prediction],
    key_type=str,
    value_type=list[Prediction],
    partitions=4,
    help="What versions said of a customer's questions, while nobody knows whether it is true.",
)
