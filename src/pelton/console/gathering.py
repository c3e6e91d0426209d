"""All workers of the application, as seen from one: each is asked for its own report, by its address in the group."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from aiohttp import web

from pelton.console.report import REPORT_PATH, WorkerReport, report
from pelton.console.surroundings import Console
from pelton.errors import UnavailableError
from pelton.log.contract import MemberInfo

__all__ = ["GATHERING", "Colleague", "Gathering"]

_decode = msgspec.json.Decoder(WorkerReport).decode


@dataclass(frozen=True, slots=True)
class Colleague:
    """A worker and what it said. here: it is the one that serves the page. silent: why there is no report, else ""."""

    member: MemberInfo
    here: bool = False
    report: WorkerReport | None = None
    silent: str = ""


class Gathering:
    """Asks all of them, once for all who look at the same time."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._under_way: asyncio.Task[Sequence[Colleague]] | None = None

    async def workers(self) -> Sequence[Colleague]:
        """Return all workers; this one is first."""
        if self._under_way is None or self._under_way.done():
            self._under_way = asyncio.create_task(self._ask_all(), name="pelton console gathering")
        return await asyncio.shield(self._under_way)

    async def _ask_all(self) -> Sequence[Colleague]:
        worker = self.console.worker
        members = worker.members()
        mine = [one for one in members if one.address == worker.address]
        others = sorted((one for one in members if one.address != worker.address), key=lambda one: one.address)
        here = Colleague(mine[0] if mine else MemberInfo("", worker.address), True, report(self.console))
        return [here, *await asyncio.gather(*map(self._ask, others))]

    async def _ask(self, member: MemberInfo) -> Colleague:
        if not member.address:
            return Colleague(member, silent="it has no web server")
        try:
            return Colleague(member, report=_decode(await self.console.worker.ask_peer(member.address, REPORT_PATH)))
        except (UnavailableError, msgspec.MsgspecError) as error:
            return Colleague(member, silent=error.message if isinstance(error, UnavailableError) else str(error))


GATHERING: web.AppKey[Gathering] = web.AppKey("pelton_gathering", Gathering)
