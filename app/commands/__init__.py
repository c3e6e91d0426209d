"""Commands beside the worker's: `faust -A app simulate` and `faust -A app evaluate`."""

from app.commands.evaluate import evaluate
from app.commands.simulate import simulate

__all__ = ["evaluate", "simulate"]
