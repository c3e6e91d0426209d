"""`faust -A app table list|get|scan|diff`: what tables hold, and held, asked from the workers."""

# pyright: basic
# Faust and mode are only partly typed; mypy checks this module strictly all the same.
from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ClassVar

import click
import orjson
from faust.cli.base import cli

from pelton.errors import ConfigurationError, PartitionsUnavailableError, PeltonError
from pelton.shell.commands.columns import columns_text
from pelton.shell.commands.on_log import LogCommand
from pelton.shell.serving import table_api
from pelton.web.api import Reply, TableApi, as_json
from pelton.web.difference import Difference, differences
from pelton.web.parameters import KeyRange, key_of, scan_parameters, time_of
from pelton.window import iso_time

__all__ = ["missing_text", "table"]

_AT = click.option("--at", metavar="TIME", help="As it was then: seconds since the epoch, or ISO 8601.")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON: one object a row and line.")
_STANDBY = click.option(
    "--standby", type=click.Choice(["allow", "never"]), default="never", show_default=True,
    help="Whether a copy may answer, which may be behind, where the owner cannot.",
)  # fmt: skip
_KEYS = (
    click.option("--prefix", help="Keys that begin so."),
    click.option("--from", "from_", metavar="KEY", help="Keys from this one on."),
    click.option("--to", metavar="KEY", help="Keys before this one."),
)
_WINDOWS = (
    click.option("--since", metavar="TIME", help="Windows that end after this time."),
    click.option("--until", metavar="TIME", help="Windows that begin before this time."),
)


@cli.group("table")
def table() -> None:
    """Ask the workers what tables hold, and held.

    The workers are found by the group's metadata, and asked over HTTP, with PELTON_WEB_TOKEN where they have one. KEY
    is text where the table's keys are, else JSON. What nobody can answer for now is an error, never left out.
    """


class _TableCommand(LogCommand):
    """A subcommand of `table`."""

    abstract: ClassVar[bool] = True
    group: ClassVar[Any] = table

    def ask(self, question: Callable[[TableApi], Awaitable[Reply]]) -> Reply:
        """Return what the workers answer."""

        async def asked(_: Any) -> Reply:
            return await question(table_api(self.application))

        return self.with_log(asked)

    def tell(self, error: PeltonError) -> str:
        """Return what to say of an error."""
        return missing_text(error)


class ListTables(_TableCommand):
    """List the tables."""

    name = "list"
    options: Any = (_JSON,)

    def work(self, as_json: bool = False) -> int:
        """Print the tables."""
        tables = self.ask(lambda api: api.list()).document["tables"]
        if as_json or self.json:
            _print_json(tables)
            return 0
        rows = [(one["name"], one["keys"], _kind(one), one["help"]) for one in tables]
        click.echo(columns_text([("table", "keys", "kind", "about"), *rows]))
        return 0


class GetKey(_TableCommand):
    """Print what a key holds, or its windows; the exit status is 1 when there is no such key."""

    name = "get"
    options: Any = (
        click.argument("table"), click.argument("key"), _AT, *_WINDOWS,
        click.option("--versions", is_flag=True, help="All that it held within the table's history."),
        _STANDBY, _JSON,
    )  # fmt: skip

    def work(self, table: str, key: str, versions: bool, as_json: bool = False, **given: Any) -> int:
        """Print the key."""
        query = _given(given)
        reply = self.ask(lambda api: api.versions(table, key, {}) if versions else api.key(table, key, query))
        told = reply.document
        if as_json or self.json:
            click.echo(orjson.dumps(_plain(told)))
        elif "error" in told:
            click.echo(f"error: {told['error']}: {key}", err=True)
        else:
            click.echo("\n".join(_lines_of_key(told)))
        if told["stale"]:
            click.echo(_stale(_plain(told["source"])), err=True)
        return 0 if reply.status == 200 else 1


class ScanTable(_TableCommand):
    """Print rows, in the order of their keys' bytes."""

    name = "scan"
    options: Any = (
        click.argument("table"), *_KEYS, *_WINDOWS, _AT,
        click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="So many rows at most."),
        _STANDBY, _JSON,
    )  # fmt: skip

    def work(self, table: str, limit: int, as_json: bool = False, **given: Any) -> int:
        """Print the rows."""
        query, rows, more = _given(given), list[Any](), False

        async def scan(_: Any) -> None:
            nonlocal more
            api = table_api(self.application)
            cursor: dict[str, str] = {}
            while len(rows) < limit and (cursor or not rows):
                asked = {**query, **cursor, "limit": str(min(1_000, limit - len(rows)))}
                page = (await api.scan(table, asked)).document
                rows.extend(page["rows"])
                stale.update(_stale(_plain(one)) for one in page["partitions"] if one.role == "standby")
                more = page["next"] is not None
                if not more:
                    break
                cursor = {"cursor": page["next"]}

        stale: set[str] = set()
        self.with_log(scan)
        if as_json or self.json:
            _print_json(rows)
        elif rows:
            windowed = "start_ms" in rows[0]
            headings = ("window", "key", "value") if windowed else ("key", "value")
            lines = [(*([iso_time(row["start_ms"])] if windowed else []), *_cells(row)) for row in rows]
            click.echo(columns_text([headings, *lines]))
        for line in sorted(stale):
            click.echo(line, err=True)
        if more:
            click.echo(f"there are more rows than {limit:,}: ask for more with --limit", err=True)
        return 0


class DiffTable(_TableCommand):
    """Print what has changed since a time, up to now or to another; the exit status is 1 when something has."""

    name = "diff"
    options: Any = (
        click.argument("table"), click.argument("key", required=False),
        click.option("--at", metavar="TIME", required=True, help="Since then: seconds since the epoch, or ISO 8601."),
        click.option("--until", "until", metavar="TIME", help="Up to then; up to now when not given."),
        *_KEYS, _JSON,
    )  # fmt: skip

    def work(self, table: str, key: str | None, at: str, until: str | None, as_json: bool = False, **given: Any) -> int:
        """Print the differences."""
        app, query = self.application, _given(given)

        async def found(_: Any) -> list[Difference]:
            handle = app.table_handle(table, as_json=True)
            at_ms, until_ms = time_of({"at": at}, "at"), time_of({"until": until} if until else {}, "until")
            if key is not None:
                before = await app.queries.value(handle, key_of(handle, key), at_ms=at_ms)
                after = await app.queries.value(handle, key_of(handle, key), at_ms=until_ms)
                kind = "~" if before.found and after.found else "-" if before.found else "+"
                changed = (before.found, before.value) != (after.found, after.value)
                return [Difference(key, kind, before.value, after.value)] if changed else []
            keys = _keys(handle, query)
            earlier = app.queries.rows(handle, keys.start, keys.end, at_ms=at_ms)
            later = app.queries.rows(handle, keys.start, keys.end, at_ms=until_ms)
            return [one async for one in differences(earlier, later)]

        changes = self.with_log(found)
        if as_json or self.json:
            _print_json(
                [{"key": one.key, "change": one.kind, "before": one.before, "after": one.after} for one in changes]
            )
        elif changes:
            cells = [(one.kind, _text(one.key), _text(one.before), _text(one.after)) for one in changes]
            click.echo(columns_text([("", "key", "before", "after"), *cells]))
        return 1 if changes else 0


def missing_text(error: PeltonError) -> str:
    """Return what to say of an error; of each partition that is missing, why."""
    missing = error.missing if isinstance(error, PartitionsUnavailableError) else {}
    return "\n".join([str(error), *(f"  partition {number}: {why}" for number, why in sorted(missing.items()))])


def _keys(handle: Any, query: Mapping[str, str]) -> KeyRange:
    if handle.size_ms is not None:
        raise ConfigurationError(f'table "{handle.name}" has no history: its windows are', hint="use scan --since")
    return scan_parameters(handle, query).range


def _given(options: Mapping[str, Any]) -> dict[str, str]:
    """Return the options that were given, by the names of the API's parameters."""
    return {name.rstrip("_"): str(value) for name, value in options.items() if value is not None}


def _lines_of_key(told: Mapping[str, Any]) -> Sequence[str]:
    if "windows" in told:
        return [f"{iso_time(one['start_ms'])}  {_text(one['value'])}" for one in told["windows"]]
    if "versions" in told:
        return [
            f"{'before' if one['since_ms'] is None else iso_time(one['since_ms'])}  "
            f"{'deleted' if one['deleted'] else _text(one['value'])}"
            for one in told["versions"]
        ]
    return [_text(told["value"])]


def _kind(one: Mapping[str, Any]) -> str:
    window = [] if one["window_ms"] is None else [f"windows of {one['window_ms'] / 1000:g} s"]
    return ", ".join([*window, *(["global"] if one["global"] else []), *(["history"] if one["history"] else [])])


def _cells(row: Mapping[str, Any]) -> tuple[str, str]:
    return _text(row["key"]), _text(row["value"])


def _text(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode() if value is not None else "-"


def _plain(document: Any) -> Any:
    return orjson.loads(as_json(document))


def _print_json(rows: Sequence[Any]) -> None:
    for row in rows:
        click.echo(orjson.dumps(_plain(row)))


def _stale(source: Mapping[str, Any]) -> str:
    return (
        f"partition {source['partition']} is told by a standby, {source['worker']}: it was {source['records_behind']}"
        f" records behind {source['heard_s']} s ago"
    )
