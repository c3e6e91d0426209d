"""The arguments that Faust's decorators and factories take beyond ours: which change nothing, and which are refused."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from pelton.stream.refused import check_options

__all__ = [
    "AGENT_REFUSED",
    "check_agent_options",
    "check_channel_options",
    "check_settings",
    "check_topic_options",
    "known_table_options",
]

logger = logging.getLogger(__name__)

_TYPES = "use key_type, value_type, key_serializer and value_serializer"
_ONE_ENGINE = "the engine is one piece; leave it out"

#: Settings that put a class of the program's own in the place of one of Faust's.
_SETTINGS_REFUSED = {
    **dict.fromkeys(
        ("Agent", "ConsumerScheduler", "Event", "GlobalTable", "LeaderAssignor", "PartitionAssignor", "Router"),
        _ONE_ENGINE,
    ),
    **dict.fromkeys(("SetGlobalTable", "SetTable", "Stream", "Table", "TableManager", "Topic"), _ONE_ENGINE),
    "Schema": _TYPES,
    "Serializers": "add a serializer with pelton.codec.register_codec, and name it in the topic",
    "agent_supervisor": "an agent that fails is called again for the same event; see agent_retries_max",
    "producer_partitioner": "send with partition= where the key is not to decide",
}

_TOPIC_IGNORED = ("acks", "has_prefix", "loop", "maxsize")
_TOPIC_REFUSED = {"schema": _TYPES, "pattern": 'name the topics: app.topic("orders-eu", "orders-us")'}

_CHANNEL_IGNORED = ("key_type", "loop")

_AGENT_IGNORED = ("isolated_partitions", "loop", "supervisor_strategy", "use_reply_headers")
AGENT_REFUSED = {
    "schema": _TYPES,
    "on_error": "events that fail again and again are in the topic <app>-dlq with their error: read that",
}

_TABLE_IGNORED = (
    *("beacon", "is_global", "loop", "manager_topic_name", "manager_topic_suffix", "options", "recovery_buffer_size"),
    *("standby_buffer_size", "start_manager", "store", "synchronize_all_active_partitions", "use_partitioner"),
)
_TABLE_REFUSED = {
    "changelog_topic": "leave it out: the changelog is <app>-<table>-changelog",
    "on_changelog_event": "changelogs are applied a batch at a time; read the changelog's topic with an agent instead",
    "on_window_close": "read the window when an event of a later one arrives, or from a timer",
    "schema": _TYPES,
}


def check_settings(options: Mapping[str, Any]) -> None:
    """Refuse settings that would replace parts of Faust which are not there. Raises: ConfigurationError."""
    chosen = {name: value for name, value in options.items() if name in _SETTINGS_REFUSED}
    check_options("App", chosen, refused=_SETTINGS_REFUSED)


def check_topic_options(options: Mapping[str, Any]) -> None:
    """Look through what `app.topic` got beyond its own. Raises: ConfigurationError, TypeError."""
    check_options("app.topic", options, ignored=_TOPIC_IGNORED, refused=_TOPIC_REFUSED)


def check_channel_options(options: Mapping[str, Any]) -> None:
    """Look through what `app.channel` got beyond its own. Raises: ConfigurationError, TypeError."""
    check_options("app.channel", options, ignored=_CHANNEL_IGNORED, refused={"schema": _TYPES})


def check_agent_options(options: Mapping[str, Any]) -> None:
    """Look through what `app.agent` got beyond its own. Raises: ConfigurationError, TypeError."""
    if options.get("supervisor_strategy") is not None:
        logger.warning("supervisor_strategy= changes nothing: an agent that fails is called again for the same event")
    check_options("app.agent", options, ignored=_AGENT_IGNORED, refused=AGENT_REFUSED)


def known_table_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a table that mean something here. Raises: ConfigurationError for refused ones."""
    rest = {name: value for name, value in options.items() if name in _TABLE_REFUSED}
    check_options("app.Table", rest, refused=_TABLE_REFUSED)
    return {name: value for name, value in options.items() if name not in _TABLE_IGNORED and name not in rest}
