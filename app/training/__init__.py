"""Data for training: consent, redaction, near-duplicates, splits, and files that say what they are made of."""

from app.training.curating import example_of, pseudonym, split_of
from app.training.duplicates import NearDuplicates
from app.training.redaction import redacted

__all__ = ["NearDuplicates", "example_of", "pseudonym", "redacted", "split_of"]
