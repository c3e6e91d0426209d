"""Which log a broker URL means, and the credentials that go with it."""

# pyright: basic
# Faust and mode are only partly typed; mypy checks this module strictly all the same.
from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth
from yarl import URL

from pelton.clock import Clock
from pelton.errors import ConfigurationError
from pelton.log.contract import Log
from pelton.log.kafka import KafkaLog
from pelton.log.sqlite import SqliteLog

__all__ = ["check_broker_urls", "check_one_cluster", "log_for"]

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


def check_broker_urls(brokers: Iterable[URL]) -> None:
    """Refuse broker URLs with a user or a password in them, before anybody shows them. Raises: ConfigurationError."""
    for url in brokers:
        if url.user or url.password:
            raise ConfigurationError(
                f"the broker URL {url.with_user(None)} had a user or a password in it, which is not shown here",
                hint="URLs are shown and logged: set PELTON_BROKER_USERNAME …, or give broker_credentials=…",
            )


def check_one_cluster(broker: list[URL], **others: list[URL]) -> None:
    """Refuse brokers of its own for reading or for writing, which a transaction over both cannot have.

    others: setting -> URLs. Raises: ConfigurationError.
    """
    for setting, urls in others.items():
        if list(urls) != list(broker):
            raise ConfigurationError(
                f"{setting} is {', '.join(map(str, urls))}, but broker is {', '.join(map(str, broker))}",
                hint="what is read and what comes of it are one transaction, on one cluster: set broker alone",
            )


def sqlite_url(url: URL, datadir: Path) -> str:
    """Return the URL of the log's file; a relative or missing path is under the data directory."""
    path = url.path.lstrip("/") if url.path in ("", "/") else url.path
    file = Path(path) if path else datadir / "log.sqlite"
    query = f"?{url.query_string}" if url.query_string else ""
    return f"sqlite:///{file.absolute()}{query}"
