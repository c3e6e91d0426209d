"""Event sourcing: entities whose state is the sum of their events (Fowler; Akka and Axon call them so too).

    commands ──▶ decide(state, command) ──▶ events ──▶ apply(state, event) ──▶ state
     a topic      may refuse                 the log: kept for ever              snapshots every n events

One agent handles the commands of a partition in the order of the log, so an entity takes one command at a time. The
events of a command, its snapshot and its answer are effects of one event of the engine: all are there, or none.
How an entity is asked is in `pelton.shell.entity_asking`, how it is read in `pelton.shell.entity_reading`, what its
events lead to in `pelton.shell.read_model`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from functools import cached_property
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from pelton.batch import record_bytes
from pelton.codec import Codec, Upcaster, default_serializer, event_types, upcasting_codec
from pelton.errors import (
    CommandRejectedError,
    ConfigurationError,
    UserCodeError,
)
from pelton.log.contract import TopicSpec
from pelton.runtime.deadletter import dead_letter, dead_letter_topic
from pelton.runtime.spec import OF_THE_ENGINE, AgentSpec, TableSpec
from pelton.shell.agent import Agent
from pelton.shell.arguments import check_count
from pelton.shell.entity_asking import EXPECTED_VERSION, EntityAsking, EntityClient, command_topic, conflict
from pelton.shell.entity_reading import EntityReading, Loaded
from pelton.shell.models import record_serializer, shell_codec
from pelton.shell.read_model import ReadModel
from pelton.shell.replies import REPLY_TO
from pelton.shell.topic import Topic
from pelton.state.events import COMMAND_ID, VERSION, EntityHead, EntityWriter, EventFormat, EventRow, Snapshot
from pelton.stream.lane import Lane, Send, too_large
from pelton.stream.refused import Refused
from pelton.stream.stream import Stream

if TYPE_CHECKING:
    from pelton.shell.app import App

__all__ = ["Entities", "Entity", "EventTopic"]

K = TypeVar("K")
S = TypeVar("S")

#: How many states a partition's agent keeps in memory, besides the snapshots.
_STATES_MAX = 4_096

Decide = Callable[[Any, Any], Any]
Apply = Callable[[Any, Any], Any]


class EventTopic(Topic[K, Any]):
    """The events of a kind of entities, in the order of the log; it can only be read."""

    def __init__(self, entity: Entity[K, Any], name: str) -> None:
        super().__init__(entity.app, (name,), key_type=entity.key_type)
        self._entity = entity

    def specs(self) -> list[TopicSpec]:
        """Return what the log is to hold: every event, for ever."""
        return [TopicSpec(self.topics[0], self._entity.partitions, retention_ms=-1)]

    def codecs(self) -> tuple[Codec[Any], Codec[Any]]:
        """Return the codecs of the entities' keys and of the events."""
        return self._entity.key_codec, self._entity.event_codec

    def outgoing(self, key: Any, value: Any, **_: Any) -> Send:
        """Raise ConfigurationError: events come of commands."""
        raise ConfigurationError(
            f"{self} holds the events of {self._entity}: nothing can be sent to it",
            hint="send a command: await entity.send(key, command)",
        )


class _CommandAgent(Agent[Any]):
    """Handles the commands of one kind of entities."""

    def __init__(self, entity: Entity[Any, Any], fun: Callable[[Stream[Any]], Any]) -> None:
        super().__init__(entity.app, fun, name=f"{entity.name}-commands", channel=entity.commands, help=entity.help)
        self._entity = entity

    def spec(self) -> AgentSpec:
        """Return the agent as the runtime knows it: it uses the tables that `decide` reads, too."""
        spec = super().spec()
        return replace(spec, tables=spec.tables | self._entity.tables_read())

    def own_tables(self) -> list[TableSpec]:
        """Return the tables of the entities."""
        return self._entity.tables()


class Entity(EntityReading[K, S], EntityAsking[K]):
    """One kind of event-sourced entities, as `app.entity` declares it.

    state: the type of an entity's state; called without arguments, it makes that of an entity without events, unless
        `initial` does. commands, events: structs, or unions of structs with tags.
    snapshot_every: after how many events of an entity its state is written.
    state_version: to be raised when `apply` leads to other states than before: older snapshots are not used then.
    retention: how long commands are kept, in seconds or as a timedelta; events are kept for ever.
    """

    def __init__(
        self,
        app: App,
        name: str,
        *,
        state: Any,
        commands: Any,
        events: Any,
        key_type: Any = str,
        initial: Callable[[], S] | None = None,
        snapshot_every: int = 100,
        state_version: int = 1,
        partitions: int | None = None,
        retention: float | timedelta | None = None,
        help: str | None = None,
    ) -> None:
        check_count(f'entity "{name}": snapshot_every', snapshot_every)
        check_count(f'entity "{name}": state_version', state_version)
        self.app = app
        self.name = name
        self.help = help or ""
        self.key_type = key_type
        self.partitions = partitions
        self.snapshot_every = snapshot_every
        self.state_version = state_version
        self.initial: Callable[[], S] = initial or state
        self._event_types = event_types(events, f'entity "{name}": events')
        self._events_type = events
        self._upcasters: dict[tuple[str, int], Upcaster] = {}
        self._event_codec: Codec[Any] | None = None
        key_serializer = record_serializer(key_type) or default_serializer(key_type, role="key")
        self.key_codec = shell_codec(key_type, key_serializer)
        self.state_codec = shell_codec(state, record_serializer(state) or "json")
        self._decide: Decide | None = None
        self._apply: Apply | None = None
        self.commands: Topic[K, Any] = command_topic(
            app, str(app.conf.id), name, commands, key_type=key_type, partitions=partitions, retention=retention
        )
        self.events: EventTopic[K] = EventTopic(self, f"{app.conf.id}-{name}-events")
        self.agent: Agent[Any] = _CommandAgent(self, self._handle)

    # -- declaring ---------------------------------------------------------------------------------

    def decide(self, fun: Decide) -> Decide:
        """Say what comes of a command: `decide(state, command)`, plain or async, returns events, one or many, or None.

        It must not change the state. To refuse a command, raise `CommandRejectedError` with the reason.
        """
        self._decide = fun
        return fun

    def apply(self, fun: Apply) -> Apply:
        """Say what an event does: `apply(state, event)` returns the state with it; it may change what it was given.

        The same events must give the same state, always: it reads no clock and no other state, and refuses nothing.
        """
        self._apply = fun
        return fun

    def upcast(self, event: str, *, shape: int = 1) -> Callable[[Upcaster], Upcaster]:
        """Say how an event of an earlier shape becomes one of the next: a function of its fields, as a dict.

        event: the tag of its type, which need not exist any more. shape: the number of the earlier shape; those that
            were written before there was any upcaster are 1. Raises: ConfigurationError.
        """

        def declare(fun: Upcaster) -> Upcaster:
            if (event, shape) in self._upcasters or self._event_codec is not None:
                raise ConfigurationError(
                    f"{self!r}: the upcaster of {event}, shape {shape}, is declared twice or too late",
                    hint="declare each once, right behind the entity",
                )
            self._upcasters[event, shape] = fun
            return fun

        return declare

    def read_model(self, name: str, *, version: int = 1, **options: Any) -> ReadModel[Any, Any]:
        """Declare a table that is worked out from the events, all of them: see `ReadModel`."""
        model: ReadModel[Any, Any] = ReadModel(self.app, name, self.events, version=version, **options)
        self.app.add_table(model)
        return model

    # -- handling them -----------------------------------------------------------------------------

    def tables(self) -> list[TableSpec]:
        """Return the tables that its events are kept in."""
        entities = TopicSpec(
            f"{self.app.conf.id}-{self.name}-entities-changelog", self.partitions, cleanup_policy="compact"
        )
        return [
            TableSpec(self.events_table, self.events.specs()[0], format=EventFormat()),
            TableSpec(self.entities_table, entities, rank=OF_THE_ENGINE),
        ]

    def tables_read(self) -> frozenset[str]:
        """Return the names of the tables that `decide` refers to."""
        return frozenset() if self._decide is None else self.app.tables_used_by(self._decide)

    @property
    def event_codec(self) -> Codec[Any]:
        """The codec of its events, in all shapes."""
        if self._event_codec is None:
            self._event_codec = upcasting_codec(self._events_type, self._upcasters)
        return self._event_codec

    def applied(self, state: S, event: Any) -> S:
        """Return a state with an event. Raises: UserCodeError when `apply` forgets to return it."""
        assert self._apply is not None
        after = self._apply(state, event)
        if after is None:
            raise UserCodeError(f"{self!r}: apply returned None for {event!r}", hint="return the state")
        return cast(S, after)

    def check(self) -> None:
        """Make sure that it is complete. Raises: ConfigurationError."""
        for name, fun in (("decide", self._decide), ("apply", self._apply)):
            if fun is None:
                raise ConfigurationError(
                    f"{self!r} has no {name}", hint=f"write @{self.name}.{name} above a function of (state, …)"
                )

    async def _handle(self, stream: Stream[Any]) -> AsyncIterator[dict[str, Any]]:
        """Handle the commands of a partition; yields the answers."""
        lane = stream.bound()[1]
        #: Forgotten with the first event that fails, since its function is called anew then.
        states: dict[bytes, Loaded[S]] = {}
        async for command in stream:
            answer = await self._answer(lane, states, command)
            yield answer
            if len(states) > _STATES_MAX:
                states.clear()

    async def _answer(self, lane: Lane, states: dict[bytes, Loaded[S]], command: Any) -> dict[str, Any]:
        store = EntityWriter(lane.tables[self.events_table], lane.tables[self.entities_table])
        key, headers = lane.raw_key, dict(lane.headers)
        if key is None:
            raise UserCodeError(f"{self!r}: a command needs a key, and the record has none")
        command_id = headers.get(COMMAND_ID)
        if command_id is not None and (before := store.command(key, command_id)) is not None:
            return {"what": "repeated", "version": before[1], "events": before[1] - before[0] + 1}
        head = store.head(key)
        expected = headers.get(EXPECTED_VERSION)
        if expected is not None and int(expected) != head.version:
            error = conflict(self.name, lane.key, int(expected), head.version)
            return self._refused(lane, headers, error, what="conflict", version=head.version, expected=int(expected))
        loaded = states.pop(key, None) or self.load(store, key, head.version)
        try:
            events = await self._decided(loaded.state, command)
        except CommandRejectedError as error:
            return self._refused(lane, headers, error, what="rejected", version=head.version, reason=error.message)
        states[key] = self._recorded(lane, store, key, (head, loaded.state, events, command_id))
        version = head.version + len(events)
        if command_id is not None:
            store.accept(key, command_id, head.version + 1, version)
        return {"what": "accepted", "version": version, "events": len(events)}

    async def _decided(self, state: S, command: Any) -> list[Any]:
        assert self._decide is not None
        decided = self._decide(state, command)
        if isawaitable(decided):
            decided = await decided
        known = tuple(self._event_types.values())
        if decided is None:
            return []
        events: list[Any] = [decided] if isinstance(decided, known) else list(cast("Iterable[Any]", decided))
        for event in events:
            if type(event) not in known:
                raise UserCodeError(
                    f"{self!r}: decide gave {event!r}, expected one of {', '.join(sorted(self._event_types))}",
                    hint="declare the type: app.entity(..., events=...)",
                )
        return events

    def _recorded(
        self,
        lane: Lane,
        store: EntityWriter,
        key: bytes,
        decided: tuple[EntityHead, S, list[Any], bytes | None],
    ) -> Loaded[S]:
        """Write events, and the state after them; return that."""
        head, state, events, command_id = decided
        version, snapshot = head.version, head.snapshot
        time_ms = max(lane.timestamp_ms, head.time_ms)
        for event in events:
            version += 1
            data = self.event_codec.encode(event)
            self._check_size(lane, key, data, command_id)
            store.append(key, version, EventRow(time_ms, command_id, data))
            state = self.applied(state, event)
            if version % self.snapshot_every == 0:
                store.snapshot(key, snapshot, Snapshot(version, self.state_version, self.state_codec.encode(state)))
                snapshot = version
        if events:
            store.stand(key, EntityHead(version, time_ms, snapshot))
        return Loaded(version, state)

    def _check_size(self, lane: Lane, key: bytes, data: bytes, command_id: bytes | None) -> None:
        topic = self.events.topics[0]
        nbytes = record_bytes(key, data, ((VERSION, b"0" * 20), (COMMAND_ID, command_id)))
        limit = nbytes if lane.accepts is None else lane.accepts.sizes.get(topic, nbytes)
        if nbytes > limit:
            raise too_large("record an event", topic, nbytes, limit)

    def _refused(self, lane: Lane, headers: dict[str, Any], error: Exception, **answer: Any) -> dict[str, Any]:
        """Return the answer to a command that is refused; when nobody waits for it, it becomes a dead letter."""
        if REPLY_TO not in headers and lane.chunk is not None:
            chunk = lane.chunk
            topic = dead_letter_topic(str(self.app.conf.id))
            lane.send(dead_letter(topic, chunk.batch, chunk.rows[lane.cursor], self.agent.name, error, 1))
        return answer

    def __repr__(self) -> str:
        return f"<Entity: {self.name}>"


class Entities:
    """What `pelton.App` offers of event sourcing."""

    @cached_property
    def entities(self) -> dict[str, Entity[Any, Any]]:
        """Those that were declared, by name."""
        return {}

    aggregate: Any = Refused(
        "declare app.entity(...): what is called an aggregate elsewhere; pelton.aggregate has windows'"
    )

    def entity(self, name: str, **options: Any) -> Entity[Any, Any]:
        """Declare a kind of event-sourced entities: see `Entity` for the options.

        accounts = app.entity("accounts", state=Account, commands=Deposit | Withdraw, events=Deposited | Withdrawn)

        @accounts.decide
        def decide(account: Account, command: Deposit | Withdraw) -> list[Deposited | Withdrawn]: ...

        @accounts.apply
        def apply(account: Account, event: Deposited | Withdrawn) -> Account: ...
        """
        app = cast("App", self)
        if name in self.entities:
            raise ConfigurationError(f'entity "{name}" is declared twice', hint="declare it once, and import that")
        entity: Entity[Any, Any] = Entity(app, name, **options)
        self.entities[name] = entity
        app.agents[entity.agent.name] = cast(Any, entity.agent)
        return entity

    def entity_client(
        self,
        name: str,
        *,
        of: str,
        commands: Any,
        key_type: Any = str,
        partitions: int | None = None,
        retention: float | timedelta | None = None,
    ) -> EntityClient[Any]:
        """Declare entities of another application, which this one sends commands to, and may wait for the answers of.

        accounts = app.entity_client("accounts", of="bank", commands=Deposit | Withdraw)
        await accounts.execute("ann", Withdraw(30), command_id=order)

        of: the other application's id. commands, key_type, partitions, retention: as it declares them.
        """
        app = cast("App", self)
        return EntityClient(
            app, name, of=of, commands=commands, key_type=key_type, partitions=partitions, retention=retention
        )
