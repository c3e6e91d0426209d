"""The data hub: what card terminals log comes in by files, webhooks, MQTT and syslog, and goes out to analysts.

Files in and Parquet out are always there; each other connector is switched on by its variable: HUB_WEBHOOK_SECRET,
HUB_MQTT_URL, HUB_SYSLOG_PORT (in), HUB_POSTGRES_URL (out, to the table `terminals`). Where a source goes on is
committed with what it has read, and a sink keeps offsets with its rows, so a crash loses no line and doubles none.
"""

from __future__ import annotations

import os

from app.bank import app, hub_directory, terminal_events, terminal_lines
from app.models.terminal import TerminalEvent
from app.retention import WAREHOUSE
from app.tables.terminals import terminals
from pelton import Stream
from pelton.connect.contract import SourceRecord
from pelton.connect.files import FileTail
from pelton.connect.parquet import ParquetFiles

__all__ = ["from_files", "from_lines", "read", "to_warehouse", "watch"]


def read(record: SourceRecord) -> SourceRecord:
    """Return a terminal's line as an event, under the terminal; what is no such line is dead-lettered.

    Files, webhooks and MQTT give a line's bytes, syslog a message whose text it is.
    """
    event = TerminalEvent.parsed(record.value if isinstance(record.value, bytes) else record.value.text)
    return SourceRecord(event, key=event.terminal, headers=record.headers)


log_files = FileTail(hub_directory / "in" / "*.log*", poll=1.0)
from_files = app.source(log_files, terminal_events, name="terminal-files")(read)

parquet_files = ParquetFiles(hub_directory / "warehouse", keep=WAREHOUSE)
to_warehouse = app.sink(parquet_files, terminal_events, name="warehouse", batch=50_000, within=5)

if secret := os.environ.get("HUB_WEBHOOK_SECRET"):
    from pelton.connect.webhook import Webhook

    app.source(Webhook("/hooks/terminals", secret=secret), terminal_events, name="terminal-hooks")(read)

if mqtt := os.environ.get("HUB_MQTT_URL"):
    from pelton.connect.mqtt import Mqtt

    app.source(Mqtt(mqtt, "terminals/#", client_id=f"{app.conf.id}-hub"), terminal_events, name="terminal-mqtt")(read)

if port := os.environ.get("HUB_SYSLOG_PORT"):
    from pelton.connect.syslog import Syslog

    app.source(Syslog(int(port)), terminal_events, name="terminal-syslog")(read)


@app.agent(terminal_lines)
async def from_lines(stream: Stream[bytes]) -> None:
    """Take the lines that Kafka Connect reads."""
    async for line in stream:
        event = TerminalEvent.parsed(line)
        await terminal_events.send(key=event.terminal, value=event)


@app.agent(terminal_events)
async def watch(stream: Stream[TerminalEvent]) -> None:
    """Keep what is known of each terminal."""
    async for event in stream:
        terminals[event.terminal] = terminals[event.terminal].after(event)


if database := os.environ.get("HUB_POSTGRES_URL"):
    from pelton.connect.postgres import PostgresTable

    @app.sink(PostgresTable(database, "terminals", key=("terminal", "ts")), terminal_events, name="terminals-postgres")
    def row(event: TerminalEvent) -> TerminalEvent:
        """Return a row: the event's own fields."""
        return event
