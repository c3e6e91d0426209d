"""Calls from a worker to the log: each takes its time, and may be lost on the way there or on the way back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from pelton.errors import PeltonError, UnavailableError
from pelton.testing.simulation.chance import Chance
from pelton.testing.simulation.loop import Process, SimulatedLoop, current_process
from pelton.testing.simulation.trace import Trace
from pelton.testing.simulation.weather import Weather

__all__ = ["Network"]

T = TypeVar("T")

#: How long a client waits for an answer, in seconds.
_PATIENCE_S = 0.5


class _Call:
    """One call under way.

    deadline: when its caller gives up. void: the server refuses it, should it still come.
    """

    def __init__(self, caller: Process, what: str, reply: asyncio.Future[Any], deadline: float) -> None:
        self.caller = caller
        self.what = what
        self.reply = reply
        self.deadline = deadline
        self.void = False

    def answer(self, value: Any) -> None:
        if not self.reply.done():
            self.reply.set_result(value)

    def refuse(self, error: Exception) -> None:
        if not self.reply.done():
            self.reply.set_exception(error)


class Network:
    """What lies between the workers and the log. A call that was sent arrives, even when its sender dies meanwhile."""

    def __init__(self, loop: SimulatedLoop, chance: Chance, weather: Weather, trace: Trace) -> None:
        self.loop = loop
        self.trace = trace
        self._chance = chance
        self._weather = weather
        self._process = Process("network")

    async def call(self, what: str, serve: Callable[[], T], *, voidable: bool = False) -> T:
        """Have the server do something, and return its answer.

        serve: runs at the server, in one step; what it raises of PeltonError reaches the caller.
        voidable: whether the server is sure to refuse the call once the caller has given up.
        Raises: UnavailableError when no answer came: it was done, or it was not, or it still will be.
        """
        now = self.loop.time()
        call = _Call(current_process(), what, self.loop.create_future(), now + _PATIENCE_S)
        at = self._time_of_arrival(self._weather.lost_requests)
        if at is not None:
            self._at(at, self._arrive, serve, call)
        if at is None or at > call.deadline:
            self._give_up(call)
        try:
            return await call.reply  # type: ignore[no-any-return]
        finally:
            call.void = voidable

    def _give_up(self, call: _Call) -> None:
        self._at(call.deadline, call.refuse, UnavailableError(f"{call.what}: no answer"))

    def _arrive(self, serve: Callable[[], Any], call: _Call) -> None:
        if call.void:
            return
        deliver: Callable[[Any], None] = call.answer
        try:
            content = serve()
        except PeltonError as error:
            deliver, content = call.refuse, error
            self.note(call.caller, f"{call.what}: {type(error).__name__}")
        else:
            self.note(call.caller, call.what)
        at = self._time_of_arrival(self._weather.lost_replies)
        if at is not None and at <= call.deadline:
            self._at(at, deliver, content)
        else:
            self._give_up(call)

    def _time_of_arrival(self, lost: float) -> float | None:
        """Draw when a message sent now arrives; None when it does not."""
        return None if self._chance.happens(lost) else self.loop.time() + self._delay()

    def _delay(self) -> float:
        mean = self._weather.latency_s
        return self._chance.around(mean * 100 if self._chance.happens(self._weather.straggles) else mean)

    def _at(self, when: float, callback: Callable[..., object], *args: Any) -> None:
        self.loop.call_at(when, callback, *args, context=self._process.context)

    def after(self, mean_s: float) -> Callable[[Callable[[], None]], None]:
        """Return what calls a function at the server, in about so many seconds."""
        return lambda callback: self._at(self.loop.time() + self._chance.around(mean_s), callback)

    def note(self, process: Process, what: str) -> None:
        """Note in the trace what a process has done."""
        self.trace.note(self.loop.time(), process.name, what)
