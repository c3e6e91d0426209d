"""What a worker tells who looks after it: whether it is stuck, whether it works yet, and whether it keeps up."""

# pyright: basic
# Faust is only partly typed; mypy checks this module strictly all the same.
from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pelton.metrics.burrow import worst
from pelton.metrics.exposition import CONTENT_TYPE, exposition

if TYPE_CHECKING:
    from pelton.shell.app import App

__all__ = ["serve_probes"]


def serve_probes(app: App) -> None:
    """Have the worker's web server answer all four.

    `/livez`: 200 when the engine lives, 503 with the reasons when it is stuck. A log that does not answer is told too,
        with 200: the worker tries again, and a restart would not help.
    `/readyz`: 200 when every partition that is this worker's is restored and runs, 503 with the reasons before, during
        a restore, and while the worker stops. A worker without any partition is ready, and so is one whose agents are
        paused; it names them.
    `/metrics`: the engine's statistics, and what is in `app.metrics`, in Prometheus' text format.
    `/api/lag`: how far each partition of this worker is behind, as Burrow judges it; always 200.
    """

    async def livez(view: Any, request: Any) -> Any:
        health = app.engine.health
        troubles = [{"what": trouble.what, "for_s": round(trouble.for_s, 1)} for trouble in health.troubles]
        answer = {"alive": health.alive, "troubles": troubles, "outage": health.outage}
        return view.json(answer, status=200 if health.alive else 503)

    async def readyz(view: Any, request: Any) -> Any:
        waiting = list(app.engine.waiting())
        paused = sorted(app.engine.pauses())
        return view.json({"ready": not waiting, "waiting": waiting, "paused": paused}, status=503 if waiting else 200)

    async def metrics(view: Any, request: Any) -> Any:
        return view.bytes(exposition(app.engine.snapshot, app.metrics), headers={"Content-Type": CONTENT_TYPE})

    async def lag(view: Any, request: Any) -> Any:
        lags = app.engine.lags()
        status = worst([one.status for one in lags])
        answer = {"group": app.conf.id, "status": status, "lag": sum(one.lag for one in lags)}
        return view.json(answer | {"partitions": [asdict(one) for one in lags]})

    app.page("/metrics", name="metrics")(metrics)
    app.page("/api/lag", name="lag")(lag)
    app.page("/livez", name="livez")(livez)
    app.page("/readyz", name="readyz")(readyz)
