"""Reading tables from anywhere: `await app.query("balances", "alice")`, whichever worker has the key."""

# pyright: basic
# Faust is only partly typed; mypy checks this module strictly all the same.
from __future__ import annotations

import base64
import ssl
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, cast

import pelton.web.local as local_rows
from pelton.errors import ConfigurationError, PartitionsUnavailableError
from pelton.log.contract import MemberInfo
from pelton.shell.guard import web_address
from pelton.shell.models import json_value, shell_codec
from pelton.shell.table import Table
from pelton.shell.windowed import WindowedTable
from pelton.web.asking import PATIENCE_S, PAUSE_S, Asking, Surroundings
from pelton.web.columns import Column, ColumnType, fields_of, type_of
from pelton.web.peers import Peers
from pelton.web.queries import Queries
from pelton.web.wire import RowsRequest, WorkerRows
from pelton.window import as_ms

if TYPE_CHECKING:
    from pelton.shell.app import App

__all__ = ["Querying", "TableHandle"]


class TableHandle:
    """A table of the application as queries see it. as_json: whether values come as JSON can hold them."""

    def __init__(self, table: Table[Any, Any] | WindowedTable[Any, Any], *, as_json: bool = False) -> None:
        plain = table.table if isinstance(table, WindowedTable) else table
        codec = plain.codecs()[0]
        self.name = plain.name
        self.help = plain.help
        self.changelog = plain.changelog_topic_name
        self.replicated = plain.replicated
        self.history = plain.history is not None
        self.size_ms = table.size_ms if isinstance(table, WindowedTable) else None
        self.keys: Literal["text", "json", "other"] = (
            "text" if codec.name == "raw" else "json" if codec.name == "json" else "other"
        )
        self.key_type: ColumnType = "text" if self.keys == "text" else type_of(plain.key_type)
        self.value_type: ColumnType = type_of(plain.value_type)
        self.columns: Sequence[Column] | None = fields_of(plain.value_type)
        # Never with the table's own serializer where that is another one: pickle runs what it reads.
        self.read_key: Callable[[bytes], object] = shell_codec(
            plain.key_type, "raw" if self.keys == "text" else "json"
        ).decode
        self.encode_key: Callable[[Any], bytes] = plain.encode_key
        self.route_key: Callable[[Any], bytes] = plain.route_key
        self.decode_key: Callable[[bytes], Any] = _lenient(plain.decode_key) if as_json else plain.decode_key
        self.decode: Callable[[bytes], Any] = _lenient(plain.decode) if as_json else plain.decode


def _lenient(decode: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """Return what decodes to what JSON can hold; bytes that are no such value are told as such."""

    def decoded(data: bytes) -> Any:
        try:
            return json_value(decode(data))
        except Exception as error:  # whatever a codec raises
            return {"undecodable": f"{type(error).__name__}: {error}", "base64": base64.b64encode(data).decode()}

    return decoded


def _tls(app: App) -> ssl.SSLContext | None:
    """Return how other workers' certificates are checked: as the machine's are, where the web server speaks TLS."""
    return None if app.conf.web_ssl_context is None else ssl.create_default_context()


class Querying:
    """The part of an application that reads tables wherever they are."""

    _peers: Peers | None

    @property
    def queries(self) -> Queries:
        """What answers questions about tables; `query` asks it for one value."""
        app = cast("App", self)
        works = app.runtime is not None
        around = Surroundings(
            web_address(app.conf) if works else "",
            self._local_rows if works else None,
            self._members,
            self.peers().ask,
            app.clock,
        )
        return Queries(app.conf.id, Asking(around), self._partitions_of)

    async def query(
        self,
        table: str | Table[Any, Any] | WindowedTable[Any, Any],
        key: Any,
        default: Any = None,
        *,
        at: float | datetime | str | None = None,
        standby: bool = False,
    ) -> Any:
        """Return what a key of a table holds, whichever worker has it: committed state, as of its last commit.

        Of a windowed table: its windows, as `pelton.WindowValue`s, earliest first.
        default: what is returned where there is no such key. at: a time, for a table with history: seconds since the
            epoch, a datetime, or ISO 8601. standby: whether a copy will do that may be behind, where the owner cannot
            answer; `app.queries.value` says how far it was.
        Raises: PartitionsUnavailableError when nobody can answer now; HistoryExpiredError.
        """
        handle = self.table_handle(table)
        at_ms = None if at is None else as_ms(at)
        if handle.size_ms is None:
            answer = await self.queries.value(handle, key, at_ms=at_ms, standby=standby)
        elif at_ms is None:
            answer = await self.queries.windows(handle, key, standby=standby)
        else:
            raise ConfigurationError(f'table "{handle.name}" has no history: its windows are', hint="leave at= out")
        return answer.value if answer.found else default

    def table_handle(
        self, table: str | Table[Any, Any] | WindowedTable[Any, Any], *, as_json: bool = False
    ) -> TableHandle:
        """Return a table as queries take it. Raises: ConfigurationError."""
        name = table if isinstance(table, str) else table.name
        found = cast("App", self).tables.get(name)
        if found is None:
            tables = ", ".join(sorted(cast("App", self).tables)) or "none"
            raise ConfigurationError(f'there is no table "{name}"', hint=f"there are: {tables}")
        return TableHandle(found, as_json=as_json)

    def table_handles(self) -> Mapping[str, TableHandle]:
        """Return all tables, with values as JSON can hold them."""
        return {name: self.table_handle(name, as_json=True) for name in cast("App", self).tables}

    def rows_here(self, request: RowsRequest) -> WorkerRows:
        """Return what this worker has of the rows that another one asks for."""
        if cast("App", self).runtime is None:
            return WorkerRows(missing=dict.fromkeys(request.starts, "the worker starts"))
        return self._local_rows(request)

    def _local_rows(self, request: RowsRequest) -> WorkerRows:
        app = cast("App", self)
        assert app.runtime is not None
        return local_rows.rows_of(app.runtime, request, web_address(app.conf))

    async def _members(self) -> Sequence[MemberInfo]:
        app = cast("App", self)
        if app.runtime is not None:
            return app.runtime.members()
        return await app.log_connection.group_members(app.conf.id)

    async def _partitions_of(self, changelog: str) -> int:
        app = cast("App", self)
        began_s = app.clock.monotonic()
        while app.runtime is None:
            if (count := (await app.log_connection.partitions([changelog])).get(changelog)) is not None:
                return count
            if app.clock.monotonic() - began_s >= PATIENCE_S:
                raise PartitionsUnavailableError(
                    f'topic "{changelog}" does not exist yet',
                    missing={},
                    hint="the first worker of the application makes it as it starts",
                )
            await app.clock.sleep(PAUSE_S)
        return app.runtime.counts[changelog]

    def peers(self) -> Peers:
        """Return what asks other workers."""
        app = cast("App", self)
        if self._peers is None:
            token = app.web_token
            self._peers = Peers({} if token is None else token.header(), _tls(app))
        return self._peers
