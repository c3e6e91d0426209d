"""Bringing the connectors of a Kafka Connect cluster to what files say: the difference, the change, the wait.

A connector that is changed, or does not run, is stopped first, put, and resumed: so what is said of it afterwards is
said of the new configuration, and never of what ran before.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping

from pelton.connect.kafka_connect import POLL_S, Connector, KafkaConnect, Status, explained
from pelton.errors import ConfigurationError, UnavailableError

__all__ = ["apply", "difference", "failure_text"]

_SECRET = re.compile(r"password|secret|token|credential|\bkey$|\.jaas\.", re.IGNORECASE)
_FROM_ELSEWHERE = re.compile(r"\$\{[^}]+\}")
MASK = "********"


def difference(current: Mapping[str, str] | None, wanted: Mapping[str, str]) -> list[str]:
    """Return what is to be changed, a line each: `+` comes, `-` goes, `~` becomes another. Secrets are masked.

    current: None for a connector that is not there.

    >>> difference({"file": "a", "topic": "t"}, {"file": "b", "tasks.max": "1"})
    ['~ file: a -> b', '+ tasks.max: 1', '- topic: t']
    """
    current, lines = current or {}, list[str]()
    for name in sorted(current.keys() | wanted.keys()):
        old, new = (_shown(name, values[name]) if name in values else None for values in (current, wanted))
        if new is None:
            lines.append(f"- {name}: {old}")
        elif old is None:
            lines.append(f"+ {name}: {new}")
        elif current[name] != wanted[name]:
            lines.append(f"~ {name}: {old} -> {new}")
    return lines


def _shown(name: str, value: str) -> str:
    """Return a value as it may be printed: a secret only if it is no more than the name of one."""
    secret = _SECRET.search(name) is not None and _FROM_ELSEWHERE.fullmatch(value) is None
    return MASK if secret else value


def failure_text(status: Status) -> str:
    """Return why parts of a connector have failed, in words."""
    reasons: dict[str, list[str]] = {}
    for part in status.failed:
        reasons.setdefault(explained(part.trace), []).append(f"{part.name} on {part.worker_id}")
    told = (f"{', '.join(parts)} failed:\n{reason}" for reason, parts in reasons.items())
    return "\n".join(told).replace("\n", "\n    ")


async def apply(cluster: KafkaConnect, connector: Connector, timeout_s: float, progress: Callable[[str], None]) -> None:
    """Have a connector run with its configuration, and return when it does.

    timeout_s: how long is waited for it. progress: is told what is done.
    Raises: ConfigurationError when the configuration is wrong, or a part of it fails; UnavailableError after the time.
    """
    current, status = await cluster.config(connector.name), await cluster.status(connector.name)
    if current == connector.config and status is not None and status.running:
        return
    if faults := await cluster.faults(connector):
        raise ConfigurationError(f"the configuration of {connector.name} is wrong:\n    " + "\n    ".join(faults))
    if current is not None:
        progress(f"{connector.name}: stopping it")
        await cluster.stop(connector.name)
        await _until(cluster, connector.name, timeout_s, "end", _is_stopped)
    progress(f"{connector.name}: starting it")
    await cluster.put(connector)
    if current is not None:
        await cluster.resume(connector.name)
    await _until(cluster, connector.name, timeout_s, "run", _is_running)


def _is_stopped(status: Status | None) -> bool:
    return status is None or status.stopped


def _is_running(status: Status | None) -> bool:
    if status is not None and status.failed:
        raise ConfigurationError(
            f"{status.name} does not run: {failure_text(status)}",
            hint="mend what it says and apply again: what has failed is restarted",
        )
    return status is not None and status.running


async def _until(
    cluster: KafkaConnect,
    name: str,
    timeout_s: float,
    what: str,
    condition: Callable[[Status | None], bool],
) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition(status := await cluster.status(name)):
        if time.monotonic() > deadline:
            states = ", ".join(f"{part.name} {part.state}" for part in status.parts) if status else "not started"
            raise UnavailableError(f"waited {timeout_s:g} s in vain for {name} to {what}: {states}")
        await asyncio.sleep(POLL_S)
