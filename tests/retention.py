"""How long the brokers of tests keep records."""

from __future__ import annotations

__all__ = ["KEEP_ALL"]

#: Tests give records times of their own, of years ago. By the default of seven days a broker deletes them at its next
#: look, every two seconds, before or after the test has read them. A topic that is to lose records says so itself.
KEEP_ALL = {"log.retention.ms": -1}
