"""`python -m app.run`: a worker, those of the services, and simulators that feed them, as processes that end together.

With --reload, the workers start anew, with their state, whenever a file of the program changes.

Environment: BROKER_URL chooses the log as everywhere (sqlite:///… by default, or kafka://host:port); RATE, ACCOUNTS,
SEED, REQUESTS, REVIEWS, QUESTIONS, FEEDBACK and MASTER_DATA go to the simulator of payments; LOGS_RATE to that of logs
(lines a second), DEVICES to that of cash machines (how many), MODELS to that of deployments (seconds for each step),
ORDERS to that of shoppers (orders a second; without, the services are not started), each 0 for none; WEB_PORT to the
page. Master data is not simulated where KAFKA_CONNECT_URL says that there is a Kafka Connect: Debezium brings it, and
two writers of one topic would be no table of the database's.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from app.services import SERVICES

__all__ = ["main", "simulators"]

#: Variables of the simulator of payments -> its options, and what these are unless the environment says otherwise.
OPTIONS = {
    "RATE": ("--rate", ""),
    "ACCOUNTS": ("--accounts", ""),
    "REQUESTS": ("--requests", ""),
    "SEED": ("--seed", ""),
    "REVIEWS": ("--reviews", "2"),
    "QUESTIONS": ("--questions", "0.2"),
    "FEEDBACK": ("--feedback", "0.5"),
    "MASTER_DATA": ("--master-data", "1"),
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
        if _orders_rate(os.environ) != "0"
    ]
    feeding = [await _start("app", *command) for command in simulators(os.environ)]
    print(f"\n  The page: http://localhost:{port}/   (Ctrl-C ends)\n", flush=True)
    processes = [*feeding, *services, worker]
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


def simulators(environment: Mapping[str, str]) -> list[list[str]]:
    """Return the commands that feed the worker."""
    usual = {name: default for name, (_, default) in OPTIONS.items()}
    if environment.get("KAFKA_CONNECT_URL"):
        usual["MASTER_DATA"] = "0"
    given = [(option, environment.get(name, usual[name])) for name, (option, _) in OPTIONS.items()]
    commands = [["simulate", *(word for option, value in given if value for word in (option, value))]]
    if (rate := environment.get("LOGS_RATE", "20")) != "0":
        commands.append(["simulate-logs", "--rate", rate])
    if (devices := environment.get("DEVICES", "50")) != "0":
        commands.append(["simulate-telemetry", "--devices", devices])
    if (every := environment.get("MODELS", "60")) != "0":
        commands.append(["simulate-models", "--every", every])
    if (rate := _orders_rate(environment)) != "0":
        commands.append(["simulate-orders", "--rate", rate])
    return commands


def _orders_rate(environment: Mapping[str, str]) -> str:
    return environment.get("ORDERS", "0.5")


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
