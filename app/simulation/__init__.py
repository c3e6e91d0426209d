"""Realistic traffic with labelled fraud, as a pure function of seed and sequence number."""

from app.simulation.customers import Request, requests
from app.simulation.fraud import KINDS
from app.simulation.traffic import DEFAULT_START, Labelled, Plan, block, transactions_from

__all__ = ["DEFAULT_START", "KINDS", "Labelled", "Plan", "Request", "block", "requests", "transactions_from"]
