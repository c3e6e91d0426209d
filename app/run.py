"""`python -m app.run`: a worker, those of the services, and simulators that feed them, as processes that end together.

With --reload, the workers start anew, with their state, whenever a file of the program changes.

Environment: BROKER_URL chooses the log as everywhere (sqlite:///… by default, or kafka://host:port); RATE, ACCOUNTS,
SEED, REQUESTS, REVIEWS, QUESTIONS, FEEDBACK and MASTER_DATA go to the simulator of payments; LOGS_RATE to that of logs
(lines a second), DEVICES to that of cash machines (how many), MODELS to that of deployments (seconds for each step),
ORDERS to that of shoppers (orders a second; without, the services are not started), each 0 for none; WEB_PORT to the
page. Master data is simulated on the embedded log only, unless the environment says otherwise: on Kafka, Debezium may
bring it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from app.services import SERVICES

__all__ = ["main"]

#: What is simulated beside the payments, unless the environment says otherwise.
DEFAULTS = {
    "REVIEWS": "2",
    "QUESTIONS": "0.2",
    "FEEDBACK": "0.5",
    "MASTER_DATA": "0" if os.environ.get("BROKER_URL", "").startswith("kafka:") else "1",
}

#: What all processes together may take to end before they are killed.
STOP_TIMEOUT_S = 4.5


def main() -> int:
    """Run until Ctrl-C, SIGTERM, or until one of them ends; return the exit status."""
    return asyncio.run(_run())


async def _run() -> int:
    stop = asyncio.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    port = os.environ.get("WEB_PORT", "6066")
    worker = await _start("app", "worker", "-l", "info", "--web-port", port, *_reload_options())
    services = [
        await _start(f"app.services.{name}", "worker", "-l", "warn", "--without-web", *_reload_options())
        for name in SERVICES
        if _orders_rate() != "0"
    ]
    simulators = [await _start("app", *command) for command in _simulators()]
    print(f"\n  The page: http://localhost:{port}/   (Ctrl-C ends)\n", flush=True)
    processes = [*simulators, *services, worker]
    waits = [asyncio.create_task(wait) for wait in (stop.wait(), *(process.wait() for process in processes))]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    status = 0 if stop.is_set() else next((process.returncode for process in processes if process.returncode), 0)
    await _stop(processes)
    for wait in waits:
        wait.cancel()
    return status


def _reload_options() -> list[str]:
    if "--reload" not in sys.argv[1:]:
        return []
    watched = [word for directory in ("app", "src") if Path(directory).is_dir() for word in ("--reload-dir", directory)]
    return ["--reload", *watched]


def _simulators() -> list[list[str]]:
    """Return the commands that feed the worker."""
    names = {
        "RATE": "--rate",
        "ACCOUNTS": "--accounts",
        "REQUESTS": "--requests",
        "SEED": "--seed",
        "REVIEWS": "--reviews",
        "QUESTIONS": "--questions",
        "FEEDBACK": "--feedback",
        "MASTER_DATA": "--master-data",
    }
    given = [(option, os.environ.get(name, DEFAULTS.get(name))) for name, option in names.items()]
    commands = [["simulate", *(word for option, value in given if value for word in (option, value))]]
    if (rate := os.environ.get("LOGS_RATE", "20")) != "0":
        commands.append(["simulate-logs", "--rate", rate])
    if (devices := os.environ.get("DEVICES", "50")) != "0":
        commands.append(["simulate-telemetry", "--devices", devices])
    if (every := os.environ.get("MODELS", "60")) != "0":
        commands.append(["simulate-models", "--every", every])
    if (rate := _orders_rate()) != "0":
        commands.append(["simulate-orders", "--rate", rate])
    return commands


def _orders_rate() -> str:
    return os.environ.get("ORDERS", "0.5")


async def _start(program: str, *command: str) -> asyncio.subprocess.Process:
    """Start a command of an application in a session of its own, so that Ctrl-C reaches it through us alone."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "faust", "-A", program, *command, start_new_session=True
    )


async def _stop(processes: list[asyncio.subprocess.Process]) -> None:
    """Ask all to end, and kill what has not ended in time."""
    for process in processes:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await asyncio.gather(*(process.wait() for process in processes))
    except TimeoutError:
        print(f"not ended after {STOP_TIMEOUT_S} s: killed", file=sys.stderr)
        for process in processes:
            if process.returncode is None:
                process.kill()
        await asyncio.gather(*(process.wait() for process in processes))


if __name__ == "__main__":
    sys.exit(main())
