"""The join of two tables as something that an agent reads: `@app.agent(names.left_join(balances))`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from pelton.errors import ConfigurationError, CopartitioningError
from pelton.log.contract import TopicSpec
from pelton.runtime.spec import SourceSpec, TableSpec
from pelton.shell.topic import Topic
from pelton.stream.stream import Stream
from pelton.stream.table_joining import TableJoin, TableJoinKind

if TYPE_CHECKING:
    from pelton.shell.table import Table

__all__ = ["JoinedTables"]

K = TypeVar("K")
P = TypeVar("P")


class JoinedTables(Topic[K, P]):
    """The changes of two tables' join. Each is the row as it is now, (left, right), or None when it is gone.

    Made by `table.join(other)`, `left_join` and `outer_join`; it can only be read.
    Raises: CopartitioningError when the keys of the two are of different types.
    """

    def __init__(self, left: Table[Any, Any], right: Any, kind: TableJoinKind) -> None:
        if not hasattr(right, "changelog_topic_name") or right is left:
            raise ConfigurationError(
                f"{left!r} cannot be joined with {right!r}: expected another table, without windows",
                hint="a stream is joined with a table by stream.join(table)",
            )
        names = (left.changelog_topic_name, right.changelog_topic_name)
        super().__init__(left.app, names, key_type=left.key_type)
        self.left, self.right = left, right
        self.kind: TableJoinKind = kind

    def sources(self) -> dict[str, SourceSpec]:
        """Return the changelogs, each with the codecs of its table."""
        found: dict[str, SourceSpec] = {}
        for table in (self.left, self.right):
            key_codec, value_codec = table.codecs()
            found[table.changelog_topic_name] = SourceSpec(table.spec().changelog, key_codec, value_codec, True)
        keys = [source.key_codec for source in found.values()]
        if (keys[0].name, keys[0].type) != (keys[1].name, keys[1].type):
            raise CopartitioningError(
                f"{self.left!r} and {self.right!r} have keys of different types: they would never be equal",
                hint="give both the same key_type",
            )
        return found

    def specs(self) -> list[TopicSpec]:
        """Return the changelogs."""
        return [table.spec().changelog for table in (self.left, self.right)]

    def table(self, agent: str) -> TableSpec:
        """Return the table in which an agent keeps the rows of both."""
        name = f"{agent.rpartition('.')[2]}-rows"
        return TableSpec(name, TopicSpec(f"{self.app.conf.id}-{name}-changelog", cleanup_policy="compact"))

    def prepare(self, stream: Stream[Any], agent: str) -> None:
        """Have an agent's stream give the changes of the join."""
        sides = {name: side for side, name in enumerate(self.topics)}
        decoders = self.left.codecs()[1].decode, self.right.codecs()[1].decode
        stream.add_processor(TableJoin(self.kind, sides, decoders, self.table(agent).name))
