"""The commands that every application has beyond Faust's: `faust -A app <command>`."""

from pelton.shell.commands.agent import agent
from pelton.shell.commands.backup import Backup, Restore
from pelton.shell.commands.connect import connect
from pelton.shell.commands.describe import Describe
from pelton.shell.commands.dlq import dlq
from pelton.shell.commands.doctor import Doctor
from pelton.shell.commands.lag import ShowLag
from pelton.shell.commands.leave import Leave
from pelton.shell.commands.sql import Sql
from pelton.shell.commands.table import table
from pelton.shell.commands.topics import topics
from pelton.shell.commands.topology import ShowTopology
from pelton.shell.commands.worker import worker

__all__ = [
    "Backup",
    "Describe",
    "Doctor",
    "Leave",
    "Restore",
    "ShowLag",
    "ShowTopology",
    "Sql",
    "agent",
    "connect",
    "dlq",
    "table",
    "topics",
    "worker",
]
