"""A program with one connector, named by CONNECT_KIND, at an address, CONNECT_PLACE, and a topic of its records."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

import pelton
from pelton.connect.contract import Sink, Source, SourceRecord
from pelton.connect.files import FileTail
from pelton.connect.mqtt import Mqtt
from pelton.connect.parquet import ParquetFiles
from pelton.connect.postgres import PostgresTable
from pelton.connect.syslog import Syslog
from pelton.connect.webhook import Webhook

RUN, KIND, PLACE = os.environ["CONNECT_APP"], os.environ["CONNECT_KIND"], os.environ["CONNECT_PLACE"]
SECRET = "what-the-sender-and-we-know"


class Number(msgspec.Struct):
    """A record on its way out."""

    n: int


app = pelton.App(RUN, topic_partitions=2)
numbers = app.topic(f"{RUN}-numbers", key_type=str, value_type=Number, partitions=2)
arrived = app.topic(f"{RUN}-arrived", value_type=int, partitions=2)

SOURCES: dict[str, Callable[[], Source]] = {
    "files": lambda: FileTail(Path(PLACE) / "app.log*", poll=0.02),
    "webhook": lambda: Webhook("/hook", secret=SECRET),
    "mqtt": lambda: Mqtt(PLACE, f"{RUN}/#", client_id=RUN),
    "syslog": lambda: Syslog(int(PLACE), protocols=("tcp",)),
}
SINKS: dict[str, Callable[[], Sink]] = {
    "postgres": lambda: PostgresTable(PLACE, "numbers"),
    "postgres-upsert": lambda: PostgresTable(PLACE, "numbers", key="n"),
    "parquet": lambda: ParquetFiles(PLACE),
}


def number(record: SourceRecord) -> int:
    """Return what a record holds."""
    return int(getattr(record.value, "text", record.value))


if KIND in SOURCES:
    app.source(SOURCES[KIND](), arrived, name="connector")(number)
else:
    app.sink(SINKS[KIND](), numbers, name="connector", batch=50, within=0.05)


@app.agent(arrived)
async def elsewhere(stream: pelton.Stream[int]) -> None:
    """Read on other partition numbers than a source has."""
    async for _ in stream:
        pass


@app.page("/partitions")
async def partitions(view: Any, request: Any) -> Any:
    """Tell which partition numbers run here."""
    running = app.runtime.partitions.values() if app.runtime is not None else ()
    return view.json({"numbers": sorted(partition.number for partition in running if partition.state == "running")})
