"""Topics looked at and changed from outside; see `pelton.log.upkeep`. Called within a transaction, like `records`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from pelton.errors import ConfigurationError
from pelton.log.sqlite.cleaning import TOMBSTONE_MS
from pelton.log.sqlite.database import Database
from pelton.log.upkeep import TopicState

__all__ = ["configure", "grow", "states"]

_CLOCK = "message.timestamp.type"
_TOMBSTONES = "delete.retention.ms"
_COLUMNS = {"cleanup.policy": "cleanup_policy", "retention.ms": "retention_ms", "max.message.bytes": "record_bytes_max"}
_CLOCKS = ("CreateTime", "LogAppendTime")


def states(db: Database, names: Collection[str]) -> dict[str, TopicState]:
    """Return topic -> how it is; topics that do not exist are missing."""
    rows = db.execute(
        "SELECT name, partitions, cleanup_policy, retention_ms, record_bytes_max, id IN (SELECT topic FROM log_time),"
        " (SELECT kept_ms FROM tombstones WHERE topic = id) FROM topics"
    ).fetchall()
    return {
        name: TopicState(name, partitions, None, _settings(values, _CLOCKS[int(by_log)], kept_ms))
        for name, partitions, *values, by_log, kept_ms in rows
        if name in names
    }


def _settings(values: Iterable[object], clock: str, kept_ms: int | None) -> dict[str, str]:
    tombstones = str(TOMBSTONE_MS if kept_ms is None else kept_ms)
    return {**dict(zip(_COLUMNS, map(str, values), strict=True)), _CLOCK: clock, _TOMBSTONES: tombstones}


def configure(db: Database, topic: str, config: Mapping[str, str]) -> None:
    """Change settings of a topic. Raises: ConfigurationError for one that there is not."""
    number = _id(db, topic)
    for name, value in config.items():
        if name == _CLOCK and value in _CLOCKS:
            db.execute("DELETE FROM log_time WHERE topic = ?", (number,))
            if value == "LogAppendTime":
                db.execute("INSERT INTO log_time (topic) VALUES (?)", (number,))
        elif name == _TOMBSTONES:
            kept = (number, _number(topic, name, value))
            db.execute("INSERT OR REPLACE INTO tombstones (topic, kept_ms) VALUES (?, ?)", kept)
        elif name in _COLUMNS:
            statement = f"UPDATE topics SET {_COLUMNS[name]} = ? WHERE id = ?"  # noqa: S608 - one of our own names
            db.execute(statement, (value if name == "cleanup.policy" else _number(topic, name, value), number))
        else:
            raise ConfigurationError(
                f'topic "{topic}" cannot be given {name}={value}: the embedded log has no such setting',
                hint=f"it has {', '.join([*_COLUMNS, _CLOCK, _TOMBSTONES])}",
                topic=topic,
            )


def grow(db: Database, topic: str, partitions: int) -> None:
    """Give a topic more partitions. Raises: ConfigurationError when it has as many, or more."""
    number = _id(db, topic)
    (count,) = db.execute("SELECT partitions FROM topics WHERE id = ?", (number,)).fetchone()
    if partitions <= count:
        raise ConfigurationError(f'topic "{topic}" has {count} partitions, expected more than that', topic=topic)
    db.execute("UPDATE topics SET partitions = ? WHERE id = ?", (partitions, number))
    rows = [(number, one) for one in range(count, partitions)]
    db.executemany("INSERT INTO ranges (topic, partition) VALUES (?, ?)", rows)


def _id(db: Database, topic: str) -> int:
    row = db.execute("SELECT id FROM topics WHERE name = ?", (topic,)).fetchone()
    if row is None:
        raise ConfigurationError(f'there is no topic "{topic}"', topic=topic)
    return int(row[0])


def _number(topic: str, name: str, value: str) -> int:
    try:
        return int(value)
    except ValueError as error:
        raise ConfigurationError(f'topic "{topic}": {name}: expected a whole number, got {value!r}') from error
