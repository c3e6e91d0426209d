"""What an application declares: topics, channels and tables, so that a type checker knows what they hold."""

# pyright: basic
# Faust and mode are only partly typed; mypy checks this module strictly all the same.
from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from pelton.errors import ConfigurationError
from pelton.shell.arguments import check_channel_options, check_topic_options, known_table_options
from pelton.shell.channel import Channel
from pelton.shell.names import Response, View
from pelton.shell.sets import SetTable as TableOfSets
from pelton.shell.table import Table as KeyedTable
from pelton.shell.topic import Topic, TopicOptions
from pelton.shell.windowed import AnyWindow, WindowedTable

if TYPE_CHECKING:
    from pelton.shell.app import App

__all__ = ["Declarations"]

K = TypeVar("K")
V = TypeVar("V")
Handler = TypeVar("Handler", bound=Callable[..., Any])


class Declarations:
    """The part of an application that declares."""

    declared_topics: list[Topic[Any, Any]]
    declared_channels: list[Channel[Any]]
    _tables: dict[str, Any]

    @property
    def _app(self) -> App:
        return cast("App", self)

    @overload
    def topic(self, *topics: str, key_type: type[K], value_type: type[V], **options: Any) -> Topic[K, V]: ...

    @overload
    def topic(self, *topics: str, value_type: type[V], **options: Any) -> Topic[Any, V]: ...

    @overload
    def topic(self, *topics: str, key_type: type[K], **options: Any) -> Topic[K, Any]: ...

    @overload
    def topic(self, *topics: str, **options: Any) -> Topic[Any, Any]: ...

    def topic(
        self,
        *topics: str,
        key_type: Any = None,
        value_type: Any = None,
        key_serializer: str | None = None,
        value_serializer: str | None = None,
        partitions: int | None = None,
        retention: float | timedelta | None = None,
        compacting: bool | None = None,
        deleting: bool | None = None,
        replicas: int | None = None,
        config: Mapping[str, Any] | None = None,
        allow_empty: bool = False,
        internal: bool = False,
        timestamp: Any = "record",
        max_future: float | timedelta | None = None,
        future: str = "dead_letter",
        priority: int = 0,
        **ignored: Any,
    ) -> Topic[Any, Any]:
        """Declare a topic, or several read as one.

        retention: how long its records are kept, in seconds or as a timedelta; -1 for ever. Kafka goes by their times.
        allow_empty: whether its agents want tombstones, as None.
        timestamp, max_future, future: where its events have their time, and how far ahead; see `TopicOptions`.
        priority: a worker handles the events of topics with a higher one first; among equals it is fair.
        Raises: ConfigurationError for what the engine cannot do: patterns and schemas.
        """
        check_topic_options(ignored)
        layout = partitions, retention, compacting, deleting, replicas, config, allow_empty, internal
        options = TopicOptions(*layout, timestamp, max_future, future, priority=priority)
        topic = Topic[Any, Any](
            self._app,
            topics,
            key_type=key_type,
            value_type=value_type,
            key_serializer=key_serializer,
            value_serializer=value_serializer,
            options=options,
        )
        self.declared_topics.append(topic)
        return topic

    @overload
    def channel(self, *, value_type: type[V], maxsize: int | None = None, **options: Any) -> Channel[V]: ...

    @overload
    def channel(self, *, maxsize: int | None = None, **options: Any) -> Channel[Any]: ...

    def channel(self, *, value_type: Any = None, maxsize: int | None = None, **ignored: Any) -> Channel[Any]:
        """Declare a queue within this process."""
        check_channel_options(ignored)
        channel = Channel[Any](self._app, value_type=value_type, maxsize=maxsize)
        self.declared_channels.append(channel)
        return channel

    @overload
    def Table(
        self, name: str, *, default: Callable[[], V], key_type: type[K], window: None = None, **options: Any
    ) -> KeyedTable[K, V]: ...

    @overload
    def Table(
        self, name: str, *, default: Callable[[], V], window: None = None, **options: Any
    ) -> KeyedTable[Any, V]: ...

    @overload
    def Table(
        self, name: str, *, value_type: type[V], key_type: type[K], window: None = None, **options: Any
    ) -> KeyedTable[K, V]: ...

    @overload
    def Table(self, name: str, *, value_type: type[V], window: None = None, **options: Any) -> KeyedTable[Any, V]: ...

    @overload
    def Table(self, name: str, *, window: None = None, **options: Any) -> KeyedTable[Any, Any]: ...

    @overload
    def Table(self, name: str, *, window: AnyWindow, **options: Any) -> WindowedTable[Any, Any]: ...

    def Table(self, name: str, *, default: Any = None, window: Any = None, **options: Any) -> Any:
        """Declare a table; `app.Table("balances", default=float)` looks like a dict of account to amount.

        options: key_type, value_type, key_serializer, value_serializer, partitions, help; history, time for its past.
        """
        table: Any = KeyedTable[Any, Any](self._app, name, default=default, **known_table_options(options))
        return self.add_table(table, window)

    @overload
    def GlobalTable(
        self, name: str, *, default: Callable[[], V], key_type: type[K], window: None = None, **options: Any
    ) -> KeyedTable[K, V]: ...

    @overload
    def GlobalTable(
        self, name: str, *, default: Callable[[], V], window: None = None, **options: Any
    ) -> KeyedTable[Any, V]: ...

    @overload
    def GlobalTable(
        self, name: str, *, value_type: type[V], key_type: type[K], window: None = None, **options: Any
    ) -> KeyedTable[K, V]: ...

    @overload
    def GlobalTable(
        self, name: str, *, value_type: type[V], window: None = None, **options: Any
    ) -> KeyedTable[Any, V]: ...

    @overload
    def GlobalTable(self, name: str, *, window: None = None, **options: Any) -> KeyedTable[Any, Any]: ...

    @overload
    def GlobalTable(self, name: str, *, window: AnyWindow, **options: Any) -> WindowedTable[Any, Any]: ...

    def GlobalTable(self, name: str, *, window: Any = None, **options: Any) -> Any:
        """Declare a table of which every worker holds all partitions."""
        table: Any = KeyedTable[Any, Any](self._app, name, replicated=True, **known_table_options(options))
        return self.add_table(table, window)

    @overload
    def SetTable(
        self, name: str, *, key_type: type[K], value_type: type[V], window: None = None, **options: Any
    ) -> TableOfSets[K, V]: ...

    @overload
    def SetTable(self, name: str, *, window: Any = None, **options: Any) -> Any: ...

    def SetTable(self, name: str, *, window: Any = None, **options: Any) -> Any:
        """Declare a table of sets."""
        return self.add_table(TableOfSets[Any, Any](self._app, name, **known_table_options(options)), window)

    @overload
    def SetGlobalTable(
        self, name: str, *, key_type: type[K], value_type: type[V], window: None = None, **options: Any
    ) -> TableOfSets[K, V]: ...

    @overload
    def SetGlobalTable(self, name: str, *, window: Any = None, **options: Any) -> Any: ...

    def SetGlobalTable(self, name: str, *, window: Any = None, **options: Any) -> Any:
        """Declare a table of sets, of which every worker holds all partitions."""
        return self.add_table(
            TableOfSets[Any, Any](self._app, name, replicated=True, **known_table_options(options)), window
        )

    def add_table(self, table: Any, window: Any = None) -> Any:
        """Make a table one of the application's. Raises: ConfigurationError when there is one of its name."""
        if table.name in self._tables:
            raise ConfigurationError(f'table "{table.name}" is declared twice', hint="declare it once, and import that")
        self._tables[table.name] = table
        return table.using_window(window) if window is not None else table

    def page(
        self, path: str, *, name: str | None = None, **options: Any
    ) -> Callable[[Callable[..., Awaitable[Response]] | type[View]], type[View]]:
        """Let a function, or a view, answer an address: `@app.page("/accounts/{account}")`.

        What is in braces goes to the function by its name, as text, behind the view and the request.
        """
        return cast(Any, super()).page(path, name=name, **options)  # type: ignore[no-any-return]

    def table_route(
        self,
        table: KeyedTable[Any, Any] | WindowedTable[Any, Any],
        shard_param: str | None = None,
        *,
        query_param: str | None = None,
        match_info: str | None = None,
        exact_key: str | None = None,
    ) -> Callable[[Handler], Handler]:
        """Let the worker that has a key of a table answer a page, whichever is asked.

        query_param, match_info: where the request names the key. exact_key: the key itself.
        """
        route = cast(Any, super()).table_route
        return cast(
            Callable[[Handler], Handler],
            route(table, shard_param, query_param=query_param, match_info=match_info, exact_key=exact_key),
        )
