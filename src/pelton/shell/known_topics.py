"""What the program says of the log's topics: who reads them, how they are written, and which are not for people."""

# pyright: basic
# Faust is only partly typed; mypy checks this module strictly all the same.
from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from pelton.codec.contract import Codec
from pelton.errors import ConfigurationError, DecodeError
from pelton.runtime.deadletter import dead_letter_topic
from pelton.runtime.letters import marks_topic
from pelton.runtime.pauses import control_topic
from pelton.runtime.spec import Program
from pelton.shell.description import topic_roles
from pelton.shell.models import json_value, shell_codec
from pelton.shell.replies import reply_topic
from pelton.shell.topic import Topic
from pelton.shell.windowed import WindowedTable
from pelton.web.topics import KnownTopic, Shown, as_it_is
from pelton.window import WINDOW_PREFIX_BYTES, window_key_suffix, window_start_of

if TYPE_CHECKING:
    from pelton.shell.app import App

__all__ = ["KnownTopics", "known_topics", "shower", "writer"]

_ENGINES = "the engine writes it, and relies on what it holds"


class KnownTopics:
    """What an application says of its topics; less, before its engine has started."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._program: Program | None = None
        self._known: Mapping[str, KnownTopic] = {}

    def __call__(self) -> Mapping[str, KnownTopic]:
        """Return all topics that it knows, by name."""
        program = self._app.runtime.program if self._app.runtime is not None else Program({}, {}, {})
        if program is not self._program:
            self._known, self._program = known_topics(self._app, program), program
        return self._known


def known_topics(app: App, program: Program) -> Mapping[str, KnownTopic]:
    """Return what an application says of its topics, by name."""
    specs, roles = topic_roles(program)
    declared = {name: topic for topic in app.declared_topics for name in topic.topics}
    changelogs = {table.changelog_topic_name: table for table in _plain_tables(app)}
    windowed = {one.table.changelog_topic_name for one in app.tables.values() if isinstance(one, WindowedTable)}
    known: dict[str, KnownTopic] = {}
    for name in {*specs, *declared}:
        spec, topic, table = specs.get(name), declared.get(name), changelogs.get(name)
        changelog = "changelog" in roles.get(name, ())
        one = KnownTopic(
            name,
            roles=tuple(sorted(roles.get(name, ()))),
            declared=True,
            agents=sorted(agent.name for agent in program.agents.values() if name in agent.sources),
            tables=[table.name] if table is not None else _tables(app, program, name, topic),
            cleanup_policy=spec.cleanup_policy if spec is not None else None,
            retention_ms=spec.retention_ms if spec is not None else None,
            closed=_ENGINES if changelog else "",
        )
        one = _with_codecs(one, topic if topic is not None else table)
        known[name] = replace(one, show_key=_window_shower(one.show_key)) if name in windowed else one
    return known | _engines_own(app)


def _with_codecs(known: KnownTopic, declared: Any) -> KnownTopic:
    """Return a topic with what reads and writes its records. declared: a topic, a table, or None."""
    if declared is None:
        return known
    key, value = declared.codecs()
    return replace(
        known,
        key_type=_named(declared.key_type),
        value_type=_named(declared.value_type),
        show_key=shower(key),
        show_value=shower(value),
        write_key=writer(key),
        write_value=writer(value),
    )


def _engines_own(app: App) -> dict[str, KnownTopic]:
    """Return the topics that the engine keeps for itself."""
    app_id = str(app.conf.id)
    own = {
        dead_letter_topic(app_id): "dead letters",
        marks_topic(app_id): "internal",
        control_topic(app_id): "internal",
        reply_topic(app_id): "internal",
    }
    return {name: KnownTopic(name, (role,), True, closed=_ENGINES) for name, role in own.items()}


def _plain_tables(app: App) -> Iterator[Any]:
    for table in app.tables.values():
        yield getattr(table, "table", table)


def _tables(app: App, program: Program, name: str, topic: Topic[Any, Any] | None) -> list[str]:
    """Return the tables of a topic's agents that have its type of keys."""
    if topic is None or topic.key_type is None:
        return []
    used = {table for agent in program.agents.values() if name in agent.sources for table in agent.tables}
    return sorted(one.name for one in _plain_tables(app) if one.name in used and one.key_type is topic.key_type)


def _named(type_: Any) -> str:
    return "" if type_ is None else getattr(type_, "__qualname__", None) or str(type_)


def shower(codec: Codec[Any]) -> Callable[[bytes], Shown]:
    """Return what reads bytes for people, and never raises."""
    if codec.name == "pickle":  # it runs what it reads: not where one only looks
        return lambda _: Shown(codec.name, error="not decoded: pickle runs what it reads")

    def show(data: bytes) -> Shown:
        try:
            value = json_value(codec.decode(data))
            msgspec.json.encode(value)  # not all that can be read can be told: numbers without end, for example
        except codec.errors as error:
            told = codec.explain(error, data)
            return Shown(codec.name, error=f"{told.message}\n{told.hint}" if told.hint else told.message)
        except Exception as error:  # whatever a model does when it is taken apart
            return Shown(codec.name, error=f"{type(error).__name__}: {error}")
        return Shown(codec.name, value)

    return show


def _window_shower(show: Callable[[bytes], Shown]) -> Callable[[bytes], Shown]:
    """Return what reads keys that have a window's start before them, as changelogs of windowed tables do."""

    def shown(data: bytes) -> Shown:
        if len(data) < WINDOW_PREFIX_BYTES:
            return Shown("window", error=f"expected the start of a window, got {len(data)} bytes")
        key = show(window_key_suffix(data))
        return replace(key, value={"window_start_ms": window_start_of(data), "key": key.value})

    return shown


def writer(codec: Codec[Any]) -> Callable[[str], bytes]:
    """Return what turns text into bytes that the codec reads back; it raises ConfigurationError for other text."""
    if codec.name == "pickle":
        return _no_pickle
    if codec.name in ("raw", "json"):

        def write(text: str) -> bytes:
            data = as_it_is(text)
            _read(codec, data)
            return data

        return write
    by_hand = shell_codec(codec.type, "json")
    return lambda text: codec.encode(_read(by_hand, as_it_is(text)))


def _no_pickle(_: str) -> bytes:
    raise ConfigurationError("pickled values are not written by hand")


def _read(codec: Codec[Any], data: bytes) -> Any:
    try:
        return codec.decode(data)
    except codec.errors as error:
        told: DecodeError = codec.explain(error, data)
        raise ConfigurationError(told.message, hint=told.hint) from error
