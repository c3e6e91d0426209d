"""The stream processors. `fraud` is the one to read first."""

from app.agents.fraud import fraud
from app.agents.remember import latest_alerts, remember

__all__ = ["fraud", "latest_alerts", "remember"]
