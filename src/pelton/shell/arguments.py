"""The arguments that Faust's decorators and factories take beyond ours: which change nothing, and which are refused."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping
from typing import Any

from faust.types.settings import Settings

from pelton.backoff import Backoff
from pelton.config import EngineConfig, unknown_setting
from pelton.errors import ConfigurationError
from pelton.stream.refused import check_options

__all__ = [
    "AGENT_REFUSED",
    "check_agent_function",
    "check_agent_options",
    "check_channel_options",
    "check_channel_send",
    "check_count",
    "check_priority",
    "check_retries",
    "check_settings",
    "check_stream_options",
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

#: Faust's settings, with what its `App` takes besides and the old names that it understands; and the engine's own.
_SETTINGS_KNOWN = {
    *Settings.SETTINGS,  # pyright: ignore[reportUnknownMemberType]
    *EngineConfig.__dataclass_fields__,
    *("beacon", "config_source", "env", "loop", "monitor", "web_token"),
    *("client_id", "commit_interval", "create_reply_topic", "default_partitions", "num_standby_replicas"),
    "replication_factor",
}

_TOPIC_IGNORED = ("acks", "has_prefix", "loop", "maxsize")
_TOPIC_REFUSED = {"schema": _TYPES, "pattern": 'name the topics: app.topic("orders-eu", "orders-us")'}

_CHANNEL_IGNORED = ("key_type", "loop")
_CHANNEL_SEND_IGNORED = ("callback", "force", "key_serializer", "partition", "timestamp", "value_serializer")

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
    "on_window_close": "stream.window(...).agg(...).on_close() gives each window once, when it is closed",
    "schema": _TYPES,
}


def check_settings(options: Mapping[str, Any]) -> None:
    """Refuse settings that nobody knows, and those that would replace parts of Faust which are not there.

    Raises: ConfigurationError.
    """
    for name in options:
        if name not in _SETTINGS_KNOWN:
            raise unknown_setting(name, _SETTINGS_KNOWN)
    chosen = {name: value for name, value in options.items() if name in _SETTINGS_REFUSED}
    check_options("App", chosen, refused=_SETTINGS_REFUSED)


def check_topic_options(options: Mapping[str, Any]) -> None:
    """Look through what `app.topic` got beyond its own. Raises: ConfigurationError, TypeError."""
    check_options("app.topic", options, ignored=_TOPIC_IGNORED, refused=_TOPIC_REFUSED)


def check_channel_options(options: Mapping[str, Any]) -> None:
    """Look through what `app.channel` got beyond its own. Raises: ConfigurationError, TypeError."""
    check_options("app.channel", options, ignored=_CHANNEL_IGNORED, refused={"schema": _TYPES})


def check_channel_send(options: Mapping[str, Any]) -> None:
    """Look through what `channel.send` got beyond its own. Raises: ConfigurationError, TypeError."""
    check_options("channel.send", options, ignored=_CHANNEL_SEND_IGNORED, refused={"schema": _TYPES})


def check_stream_options(options: Mapping[str, Any]) -> None:
    """Look through what `app.stream` got beyond its own. Raises: TypeError."""
    check_options("app.stream", options, ignored=("beacon",))


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


def check_agent_function(fun: Callable[..., Any]) -> None:
    """Refuse a function that cannot be an agent's. Raises: ConfigurationError."""
    hint = "write: async def agent(stream): async for event in stream: ..."
    if inspect.isgeneratorfunction(fun):
        raise ConfigurationError(f"agent {fun.__qualname__} is not async", hint=hint)
    try:
        inspect.signature(fun).bind(None)
    except TypeError as error:
        raise ConfigurationError(
            f"agent {fun.__qualname__} cannot be called with a stream: {error}", hint=hint
        ) from None


def check_count(what: str, given: object) -> None:
    """Refuse what is no number of things, at least one; None is nothing said. Raises: ConfigurationError."""
    if given is not None and (not isinstance(given, int) or given < 1):
        raise ConfigurationError(f"{what}: expected a whole number, at least 1, got {given!r}", hint="or leave it out")


def check_priority(what: str, given: object) -> None:
    """Refuse what is no whole number. Raises: ConfigurationError."""
    if not isinstance(given, int) or isinstance(given, bool):
        raise ConfigurationError(
            f"{what}: priority: expected a whole number, got {given!r}",
            hint="0 is that of all others; what is higher comes first",
        )


def check_retries(what: str, given: object) -> Backoff | None:
    """Return the retry policy that was given, a number of retries standing for one. Raises: ConfigurationError."""
    if given is None or isinstance(given, Backoff):
        return given
    if isinstance(given, int) and not isinstance(given, bool) and given >= 0:
        return Backoff(retries=given)
    raise ConfigurationError(
        f"{what}: retries: expected a number of them, or a Backoff; got {given!r}",
        hint="as in retries=5, or retries=pelton.Backoff(retries=5, first=0.2, give_up_on=ValueError)",
    )
