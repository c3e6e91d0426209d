"""Read models: tables that are worked out from the events of entities, from the first one on.

    balances = accounts.read_model("balances", version=1, default=int)

    @balances.project
    async def project(events):
        async for key, event in events.items():
            ...

A read model is a view of the log and holds nothing of its own. To change what it is, change the code and raise its
version: a new table is filled from the first event, at the engine's speed, while commands go on and everything else
goes on from where it was. Until it has caught up with what the log held when its worker took the partition over, reads
from outside are refused, so that nobody takes a part for the whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from pelton.errors import ConfigurationError, UnavailableError
from pelton.shell.agent import Agent
from pelton.shell.arguments import check_count
from pelton.shell.table import Table
from pelton.shell.topic import Topic
from pelton.state.cache import TableCache
from pelton.stream.lane import CURRENT_LANE, TableSlot

if TYPE_CHECKING:
    from pelton.shell.app import App

__all__ = ["ReadModel"]

K = TypeVar("K")
V = TypeVar("V")


class ReadModel(Table[K, V]):
    """A table that one agent fills from the events of entities, all of them.

    version: raise it to have the model worked out anew; the table and the agent of each version are its own.
    options: what `app.Table` takes.
    """

    def __init__(self, app: App, name: str, events: Topic[Any, Any], *, version: int = 1, **options: Any) -> None:
        check_count(f'read model "{name}": version', version)
        if options.get("replicated"):
            raise ConfigurationError(
                f'read model "{name}": each partition is filled from the events of its own entities',
                hint="leave replicated= out",
            )
        options.setdefault("key_type", events.key_type)
        super().__init__(app, f"{name}-v{version}", **options)
        self.model = name
        self.version = version
        self.events = events
        self._agent: Agent[Any] | None = None

    def project(self, fun: Callable[..., Any]) -> Agent[Any]:
        """Make the agent that fills the model of a function over the stream of events. Raises: ConfigurationError."""
        if self._agent is not None:
            raise ConfigurationError(f"{self!r} is filled twice", hint="one function sees all events: put both into it")
        agent: Agent[Any] = Agent(self.app, fun, name=self.name, channel=self.events, help=fun.__doc__)
        agent.replays = True
        self._agent = self.app.agents[self.name] = cast(Any, agent)
        return agent

    def progress(self) -> tuple[int, int]:
        """Return how many events were looked at of those that there were when this worker took its partitions over.

        Both numbers are equal when the model is complete.
        """
        runtime = self.app.runtime
        partitions = runtime.partitions.values() if runtime is not None else ()
        done = [one.replayed(self.name) for one in partitions]
        return sum(one[0] for one in done), sum(one[1] for one in done)

    def home(self, key: Any) -> TableSlot | TableCache:
        """Return where a key is read. Raises: UnavailableError outside of agents while it is worked out."""
        if CURRENT_LANE.get() is None:
            self._check(self.partition_of(key))
        return super().home(key)

    def homes(self) -> list[TableCache]:
        """Return all partitions that this worker has. Raises: UnavailableError while they are worked out."""
        for number in list(self.app.runtime.partitions) if self.app.runtime is not None else ():
            self._check(number)
        return super().homes()

    def _check(self, number: int) -> None:
        partition = self.app.runtime.partitions.get(number) if self.app.runtime is not None else None
        done, total = (0, 0) if partition is None else partition.replayed(self.name)
        if done < total:
            raise UnavailableError(
                f'read model "{self.model}" version {self.version} is being worked out: '
                f"{done:,} of {total:,} events in partition {number}",
                hint="ask again later",
                partition=number,
            )
