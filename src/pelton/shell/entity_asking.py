"""Asking event-sourced entities: sending commands, and waiting for what comes of them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from uuid import uuid4

from pelton.batch import Headers
from pelton.codec import default_serializer, event_types
from pelton.errors import CommandRejectedError, VersionConflictError
from pelton.shell.models import record_serializer
from pelton.shell.replies import CORRELATION_ID, REPLY_TO
from pelton.shell.topic import SendReceipt, Topic, TopicOptions
from pelton.state.events import COMMAND_ID

if TYPE_CHECKING:
    from pelton.shell.app import App

__all__ = ["EXPECTED_VERSION", "CommandResult", "EntityAsking", "EntityClient", "command_topic", "conflict"]

K = TypeVar("K")

#: The header by which a command says which version it expects its entity to have.
EXPECTED_VERSION = "pelton-expected-version"


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What came of a command. version: the entity's; event_count: how many events the command led to.

    repeated: a command with this id was accepted before, and nothing was done now.
    """

    version: int
    event_count: int
    repeated: bool = False


def command_topic(
    app: App,
    owner: str,
    name: str,
    commands: Any,
    *,
    key_type: Any = str,
    partitions: int | None = None,
    retention: float | timedelta | None = None,
) -> Topic[Any, Any]:
    """Return the topic of the commands to entities of an application, for an application to send to, or to read.

    owner: the id of the application that has the entities. Raises: ConfigurationError.
    """
    event_types(commands, f'entity "{name}": commands')
    topic: Topic[Any, Any] = Topic(
        app,
        (f"{owner}-{name}-commands",),
        key_type=key_type,
        key_serializer=record_serializer(key_type) or default_serializer(key_type, role="key"),
        value_type=commands,
        value_serializer="json",
        options=TopicOptions(partitions=partitions, retention=retention, internal=True),
    )
    app.command_topics.append(topic)  # a command may come before a worker has declared it
    return topic


class EntityAsking(Generic[K]):
    """What may be asked of entities, wherever they are."""

    app: App
    name: str
    commands: Topic[K, Any]

    async def execute(
        self,
        key: K,
        command: Any,
        *,
        expected_version: int | None = None,
        command_id: str | None = None,
        timeout: float | timedelta | None = None,
    ) -> CommandResult:
        """Send a command, wait until it is handled, and return what came of it, which is durable then.

        expected_version: which version the entity must have; 0 where it must not exist. command_id: a command with the
            id of one that its entity has accepted is not handled again; the answer is that one's.
        timeout: seconds to wait, or a timedelta; for ever when None.
        Raises: VersionConflictError; CommandRejectedError; UserCodeError when it was dead-lettered; TimeoutError, after
            which it may still be handled: try again with the same command_id.
        """
        await self.app.open_log()
        correlation_id = str(uuid4())
        promise = await self.app.replies.expect(correlation_id, f"entity {self.name}")
        asking: Headers = ((REPLY_TO, promise.reply_to.encode()), (CORRELATION_ID, correlation_id.encode()))
        headers = _headers(expected_version, command_id) + asking
        with promise.asking(self.app.tracing):
            sent = await self.commands.send(key=key, value=command, headers=headers, force=True)
        receipt = asyncio.ensure_future(sent)
        promise.sent(receipt)
        await receipt
        seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
        return self._result(key, await promise.wait(seconds))

    async def send(
        self, key: K, command: Any, *, expected_version: int | None = None, command_id: str | None = None
    ) -> SendReceipt:
        """Send a command without waiting for what comes of it; within an agent, as an effect of its event.

        One that is refused is dead-lettered with the reason. See `execute`.
        """
        return await self.commands.send(key=key, value=command, headers=_headers(expected_version, command_id))

    def _result(self, key: K, answer: dict[str, Any]) -> CommandResult:
        what, version = answer["what"], int(answer["version"])
        if what == "conflict":
            raise conflict(self.name, key, int(answer["expected"]), version)
        if what == "rejected":
            raise CommandRejectedError(answer["reason"])
        return CommandResult(version, int(answer["events"]), what == "repeated")


class EntityClient(EntityAsking[K]):
    """Entities of another application, as this one asks them; see `App.entity_client`.

    What it sends goes over this application's own connection, and is an effect of the event it is sent at (`send`); the
    answers (`execute`) come to this application's own topic of replies.
    """

    def __init__(
        self,
        app: App,
        name: str,
        *,
        of: str,
        commands: Any,
        key_type: Any = str,
        partitions: int | None = None,
        retention: float | timedelta | None = None,
    ) -> None:
        self.app = app
        self.name = name
        self.commands = command_topic(
            app, of, name, commands, key_type=key_type, partitions=partitions, retention=retention
        )

    def __repr__(self) -> str:
        return f"<EntityClient: {self.commands.get_topic_name()}>"


def conflict(name: str, key: Any, expected: int, found: int) -> VersionConflictError:
    """Return the error of a command that expected another version of its entity."""
    return VersionConflictError(
        f"{name} {key!r}: expected version {expected}, found {found}",
        expected=expected,
        found=found,
        hint="somebody else was faster: read it again, and decide anew",
    )


def _headers(expected_version: int | None, command_id: str | None) -> Headers:
    headers: Headers = ()
    if expected_version is not None:
        headers += ((EXPECTED_VERSION, b"%d" % expected_version),)
    if command_id is not None:
        headers += ((COMMAND_ID, command_id.encode()),)
    return headers
