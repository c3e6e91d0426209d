"""What tests stand on: a driver for applications, a real broker, and simulated clock, log and disk.

Nothing is loaded before it is asked for: pytest imports `pelton.testing.plugin` in every run.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pelton.testing.driver import Answer, Driver, Record, Sent

__all__ = ["Answer", "Driver", "Record", "Sent"]


def __getattr__(name: str) -> Any:
    """Load a public name from its home (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module 'pelton.testing' has no attribute {name!r}")
    return getattr(import_module("pelton.testing.driver"), name)
