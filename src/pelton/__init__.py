"""Stream processing for Python: Faust's programming model on an exactly-once, batch-first engine.

The public names are loaded when they are first used, so that a program that needs one part of pelton (a log, a
window) does not pay for the import of the whole Faust shell.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pelton.backoff import Backoff
    from pelton.batch import TopicPartition
    from pelton.console.cards import HomeLine
    from pelton.console.frame import web_page
    from pelton.errors import (
        CommandRejectedError,
        ConfigurationError,
        HistoryExpiredError,
        PartitionsUnavailableError,
        PeltonError,
        RequestTimeoutError,
        UnavailableError,
        UserCodeError,
        VersionConflictError,
    )
    from pelton.log.reading import read_kept
    from pelton.shell.agent import Agent
    from pelton.shell.app import App, current_event
    from pelton.shell.channel import Channel
    from pelton.shell.entity import Entity
    from pelton.shell.entity_asking import CommandResult, EntityClient
    from pelton.shell.entity_reading import RecordedEvent
    from pelton.shell.history import TableAt, Version
    from pelton.shell.names import Record, Request, Response, View, argument, option
    from pelton.shell.read_model import ReadModel
    from pelton.shell.sets import SetTable
    from pelton.shell.table import Table
    from pelton.shell.topic import Topic
    from pelton.shell.windowed import WindowedTable, WindowSet
    from pelton.shell.worker import AppCommand
    from pelton.stream.call_cache import CallCache
    from pelton.stream.call_limits import RateLimit
    from pelton.stream.event import Event
    from pelton.stream.joining import Joined
    from pelton.stream.stream import Batch, Stream
    from pelton.stream.timing import FiredTimer, Timers
    from pelton.stream.window_plan import PROCESSING_TIME, WindowResult
    from pelton.stream.windowing import counting, hopping, session, sliding, tumbling, unbounded
    from pelton.web.queries import WindowValue

__all__ = [
    "PROCESSING_TIME",
    "Agent",
    "App",
    "AppCommand",
    "Backoff",
    "Batch",
    "CallCache",
    "Channel",
    "CommandRejectedError",
    "CommandResult",
    "ConfigurationError",
    "Entity",
    "EntityClient",
    "Event",
    "FiredTimer",
    "HistoryExpiredError",
    "HomeLine",
    "Joined",
    "PartitionsUnavailableError",
    "PeltonError",
    "RateLimit",
    "ReadModel",
    "Record",
    "RecordedEvent",
    "Request",
    "RequestTimeoutError",
    "Response",
    "SetTable",
    "Stream",
    "Table",
    "TableAt",
    "Timers",
    "Topic",
    "TopicPartition",
    "UnavailableError",
    "UserCodeError",
    "Version",
    "VersionConflictError",
    "View",
    "WindowResult",
    "WindowSet",
    "WindowValue",
    "WindowedTable",
    "argument",
    "counting",
    "current_event",
    "hopping",
    "option",
    "read_kept",
    "session",
    "sliding",
    "tumbling",
    "unbounded",
    "web_page",
]

__version__ = "0.1.0"

_HOMES = {
    "PROCESSING_TIME": "pelton.stream.window_plan",
    "Agent": "pelton.shell.agent",
    "App": "pelton.shell.app",
    "AppCommand": "pelton.shell.worker",
    "Backoff": "pelton.backoff",
    "Batch": "pelton.stream.stream",
    "CallCache": "pelton.stream.call_cache",
    "Channel": "pelton.shell.channel",
    "CommandRejectedError": "pelton.errors",
    "CommandResult": "pelton.shell.entity_asking",
    "ConfigurationError": "pelton.errors",
    "Entity": "pelton.shell.entity",
    "EntityClient": "pelton.shell.entity_asking",
    "Event": "pelton.stream.event",
    "FiredTimer": "pelton.stream.timing",
    "HistoryExpiredError": "pelton.errors",
    "HomeLine": "pelton.console.cards",
    "Joined": "pelton.stream.joining",
    "PartitionsUnavailableError": "pelton.errors",
    "PeltonError": "pelton.errors",
    "RateLimit": "pelton.stream.call_limits",
    "ReadModel": "pelton.shell.read_model",
    "Record": "pelton.shell.names",
    "RecordedEvent": "pelton.shell.entity_reading",
    "Request": "pelton.shell.names",
    "RequestTimeoutError": "pelton.errors",
    "Response": "pelton.shell.names",
    "SetTable": "pelton.shell.sets",
    "Stream": "pelton.stream.stream",
    "Table": "pelton.shell.table",
    "TableAt": "pelton.shell.history",
    "Timers": "pelton.stream.timing",
    "Topic": "pelton.shell.topic",
    "TopicPartition": "pelton.batch",
    "UnavailableError": "pelton.errors",
    "UserCodeError": "pelton.errors",
    "Version": "pelton.shell.history",
    "VersionConflictError": "pelton.errors",
    "View": "pelton.shell.names",
    "WindowResult": "pelton.stream.window_plan",
    "WindowSet": "pelton.shell.windowed",
    "WindowValue": "pelton.web.queries",
    "WindowedTable": "pelton.shell.windowed",
    "argument": "pelton.shell.names",
    "counting": "pelton.stream.windowing",
    "current_event": "pelton.shell.app",
    "hopping": "pelton.stream.windowing",
    "option": "pelton.shell.names",
    "read_kept": "pelton.log.reading",
    "session": "pelton.stream.windowing",
    "sliding": "pelton.stream.windowing",
    "tumbling": "pelton.stream.windowing",
    "unbounded": "pelton.stream.windowing",
    "web_page": "pelton.console.frame",
}


def __getattr__(name: str) -> Any:
    """Load a public name from its home (PEP 562)."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'pelton' has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(home), name)
    return found
