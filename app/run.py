"""`python -m app.run`: a worker, and a simulator that feeds it, as two processes that end together.

Environment: BROKER_URL chooses the log as everywhere (sqlite:///… by default, or kafka://host:port); RATE, ACCOUNTS and
SEED go to the simulator; WEB_PORT to the page.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys

__all__ = ["main"]

#: What both processes together may take to end before they are killed.
STOP_TIMEOUT_S = 4.5


def main() -> int:
    """Run until Ctrl-C, SIGTERM, or until one of the two ends; return the exit status."""
    return asyncio.run(_run())


async def _run() -> int:
    stop = asyncio.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    port = os.environ.get("WEB_PORT", "6066")
    worker = await _start("worker", "-l", "info", "--web-port", port)
    simulator = await _start("simulate", *_simulator_options())
    print(f"\n  The page: http://localhost:{port}/   (Ctrl-C ends)\n", flush=True)
    waits = [asyncio.create_task(wait) for wait in (stop.wait(), worker.wait(), simulator.wait())]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    status = 0 if stop.is_set() else worker.returncode or simulator.returncode or 0
    await _stop([simulator, worker])
    for wait in waits:
        wait.cancel()
    return status


def _simulator_options() -> list[str]:
    names = {"RATE": "--rate", "ACCOUNTS": "--accounts", "SEED": "--seed"}
    given = [(option, os.environ.get(name)) for name, option in names.items()]
    return [word for option, value in given if value for word in (option, value)]


async def _start(*command: str) -> asyncio.subprocess.Process:
    """Start a command of the application in a session of its own, so that Ctrl-C reaches it through us alone."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "faust", "-A", "app", *command, start_new_session=True
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
