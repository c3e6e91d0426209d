"""The windows of an agent's operators, for web pages, timers, commands and agents to read: `agent.windows()`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pelton.aggregate import Aggregate
from pelton.codec.contract import Codec
from pelton.errors import ConfigurationError
from pelton.state.cache import TableCache
from pelton.stream.lane import CURRENT_LANE, TableSlot
from pelton.stream.window_plan import WindowPlan

if TYPE_CHECKING:
    from pelton.shell.app import App

__all__ = ["OperatorTable", "PlannedWindows"]


@dataclass(frozen=True, slots=True)
class PlannedWindows:
    """What start-up found out about windows in an agent. key_codec: of the keys of the stream that they are over."""

    plan: WindowPlan
    aggregates: Mapping[str, Aggregate[Any]]
    key_codec: Codec[Any]


class OperatorTable:
    """The table of an operator, as far as reading goes: within an agent its partition, elsewhere all of this worker."""

    replicated = False

    def __init__(self, app: App, name: str, key_codec: Codec[Any]) -> None:
        self.app = app
        self.name = name
        self.changelog_topic_name = f"{app.conf.id}-{name}-changelog"
        self._key_codec = key_codec

    def places(self) -> Sequence[TableSlot | TableCache]:
        """Return the partitions that can be read from here."""
        slot = self._slot()
        return [slot] if slot is not None else self.app.table_caches(self)

    def place(self, key: Any) -> TableSlot | TableCache:
        """Return the partition of a key. Raises: UnavailableError when another worker has it."""
        slot = self._slot()
        return slot if slot is not None else self.app.table_cache(self, self.encode_key(key))

    def _slot(self) -> TableSlot | None:
        """Return the partition of the agent that asks. Raises: ConfigurationError when it does not have this table."""
        lane = CURRENT_LANE.get()
        if lane is None:
            return None
        slot = lane.tables.get(self.name)
        if slot is None:
            raise ConfigurationError(
                f'agent {lane.agent} cannot read the windows of "{self.name}": it has no partition of theirs',
                hint="an agent reads its own windows; send the results of others to a topic or a table",
            )
        return slot

    def encode_key(self, key: Any) -> bytes:
        """Return a key as the topic of the stream has it."""
        return key if isinstance(key, bytes) else self._key_codec.encode(key)

    def decode_key(self, key: bytes) -> Any:
        """Return a key as the program has it."""
        return self._key_codec.decode(key)
