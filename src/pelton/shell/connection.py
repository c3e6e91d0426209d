"""Which log a broker URL means, and the credentials that go with it."""

# pyright: basic
# Faust and mode are only partly typed; mypy checks this module strictly all the same.
from __future__ import annotations

from pathlib import Path
from typing import Any

from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth
from yarl import URL

from pelton.clock import Clock
from pelton.errors import ConfigurationError
from pelton.log.contract import Log
from pelton.log.kafka import KafkaLog
from pelton.log.sqlite import SqliteLog

__all__ = ["log_for"]

_KAFKA_PORT = 9092


def log_for(
    brokers: list[URL], datadir: Path, *, client_id: str, credentials: Any, ssl_context: Any, clock: Clock
) -> Log:
    """Return the log behind an application's broker URLs; it is not open yet.

    `sqlite://` is a file in the data directory, `sqlite:///path` another one; `kafka://host:port` a cluster.
    Raises: ConfigurationError for any other scheme.
    """
    scheme = brokers[0].scheme
    if scheme == "sqlite":
        return SqliteLog(sqlite_url(brokers[0], datadir), clock=clock)
    if scheme in ("kafka", "aiokafka", "confluent"):
        bootstrap = [f"{url.host}:{url.port or _KAFKA_PORT}" for url in brokers]
        auth = dict(credentials_to_aiokafka_auth(credentials, ssl_context)) if credentials or ssl_context else {}
        return KafkaLog(bootstrap, client_id=client_id, clock=clock, **auth)
    raise ConfigurationError(
        f"unknown broker URL scheme {scheme!r}",
        hint="use sqlite:///path for one machine, or kafka://host:9092",
    )


def sqlite_url(url: URL, datadir: Path) -> str:
    """Return the URL of the log's file; a relative or missing path is under the data directory."""
    path = url.path.lstrip("/") if url.path in ("", "/") else url.path
    file = Path(path) if path else datadir / "log.sqlite"
    query = f"?{url.query_string}" if url.query_string else ""
    return f"sqlite:///{file.absolute()}{query}"
