"""The log contract's home in one SQLite file, the only place that imports sqlite3."""

from pelton.log.sqlite.group import GroupStatistics, SqliteGroup
from pelton.log.sqlite.log import LogStatistics, SqliteLog

__all__ = ["GroupStatistics", "LogStatistics", "SqliteGroup", "SqliteLog"]
