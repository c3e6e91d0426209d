"""Stream processing for Python: Faust's programming model on an exactly-once, batch-first engine.

The public names are loaded when they are first used, so that a program that needs one part of pelton (a log, a
window) does not pay for the import of the whole Faust shell.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pelton.batch import TopicPartition
    from pelton.errors import PeltonError, UnavailableError
    from pelton.shell.agent import Agent
    from pelton.shell.app import App, current_event
    from pelton.shell.channel import Channel
    from pelton.shell.names import AppCommand, Record, Request, Response, View, argument, option
    from pelton.shell.sets import SetTable
    from pelton.shell.table import Table
    from pelton.shell.topic import Topic
    from pelton.shell.windowed import WindowedTable, WindowSet
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

_HOMES = {
    "Agent": "pelton.shell.agent",
    "App": "pelton.shell.app",
    "AppCommand": "pelton.shell.names",
    "Batch": "pelton.stream.stream",
    "Channel": "pelton.shell.channel",
    "Event": "pelton.stream.event",
    "PeltonError": "pelton.errors",
    "Record": "pelton.shell.names",
    "Request": "pelton.shell.names",
    "Response": "pelton.shell.names",
    "SetTable": "pelton.shell.sets",
    "Stream": "pelton.stream.stream",
    "Table": "pelton.shell.table",
    "Topic": "pelton.shell.topic",
    "TopicPartition": "pelton.batch",
    "UnavailableError": "pelton.errors",
    "View": "pelton.shell.names",
    "WindowSet": "pelton.shell.windowed",
    "WindowedTable": "pelton.shell.windowed",
    "argument": "pelton.shell.names",
    "current_event": "pelton.shell.app",
    "option": "pelton.shell.names",
}


def __getattr__(name: str) -> Any:
    """Load a public name from its home (PEP 562)."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'pelton' has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(home), name)
    return found
