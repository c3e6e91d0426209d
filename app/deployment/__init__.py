"""Models as data: packed, checked, chosen. A model's artifact is numbers and words; nothing of it is ever run."""

from app.deployment.artifacts import Artifact, DamagedError, NaiveBayes, pack, unpack
from app.deployment.deciding import decided
from app.deployment.serving import Loaded, Serving, Shelf, predictions_of

#: The models that are deployed: how a review sounds; whether a question's answer will help.
SENTIMENT, HELPFUL = "sentiment", "helpful"

__all__ = [
    "HELPFUL",
    "SENTIMENT",
    "Artifact",
    "DamagedError",
    "Loaded",
    "NaiveBayes",
    "Serving",
    "Shelf",
    "decided",
    "pack",
    "predictions_of",
    "unpack",
]
