"""Stream processing for Python: Faust's programming model on an exactly-once, batch-first engine."""

from faust import Record
from faust.cli import argument, option
from faust.cli.base import AppCommand
from faust.web import Request, Response, View

from pelton.batch import TopicPartition
from pelton.errors import PeltonError, UnavailableError
from pelton.shell.agent import Agent
from pelton.shell.app import App, current_event
from pelton.shell.channel import Channel
from pelton.shell.table import SetTable, Table, WindowedTable, WindowSet
from pelton.shell.topic import Topic
from pelton.stream.event import Event
from pelton.stream.stream import Batch, Stream

__all__ = [
    "Agent",
    "App",
    "AppCommand",
    "Batch",
    "Channel",
    "Event",
    "PeltonError",
    "Record",
    "Request",
    "Response",
    "SetTable",
    "Stream",
    "Table",
    "Topic",
    "TopicPartition",
    "UnavailableError",
    "View",
    "WindowSet",
    "WindowedTable",
    "argument",
    "current_event",
    "option",
]

__version__ = "0.1.0"
