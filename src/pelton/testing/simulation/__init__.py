"""The real runtime on simulated time, log and disk, in one thread, with every fault drawn from a seed.

    world ── starts, stops and kills ──▶ processes: each a real `pelton.runtime.Runtime`
      │                                      │ log contract          │ state contract
      │                                      ▼                       ▼
      │                             network ──▶ broker             disk
      │                                           │                  │
      └── draws the faults          every commit is audited   every write is audited

One seed is one run: the program, its input, the delays, the failures and the moments at which processes die follow
from it and from nothing else, so the same seed gives the same trace. The audit recomputes what every commit must hold
(`oracle`), so a broken promise is found at the commit that breaks it. Nothing here is real but the engine.
Sources: FoundationDB's simulation (Zhou et al., SIGMOD 2021, section 4), TigerBeetle's VOPR, madsim.
"""

from pelton.testing.simulation.world import Outcome, simulate, simulate_all

__all__ = ["Outcome", "simulate", "simulate_all"]
