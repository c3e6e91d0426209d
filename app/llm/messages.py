"""What is said to a model and what it says, as values of our own: `openai`'s classes go no further than its module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import msgspec

__all__ = ["Listener", "Message", "Reply", "Tool", "ToolCall"]


#: Is told of each piece of an answer's text, and None when what came before is void: the answer begins anew.
Listener = Callable[[str | None], None]


def _no_arguments() -> dict[str, Any]:
    return {"type": "object", "properties": {}, "additionalProperties": False}


class Tool(msgspec.Struct, frozen=True):
    """What the model may call. schema: the JSON schema of its arguments; without any, it takes none."""

    name: str
    description: str
    schema: dict[str, Any] = msgspec.field(default_factory=_no_arguments)


class ToolCall(msgspec.Struct, frozen=True):
    """A call that the model asks for. arguments: as the model wrote them; nobody has checked that they are JSON."""

    id: str
    name: str
    arguments: str


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """One turn. calls: what an assistant's turn asked for; call: which of these a tool's turn answers."""

    role: Literal["system", "user", "assistant", "tool"]
    text: str
    calls: list[ToolCall] = []
    call: str = ""


class Reply(msgspec.Struct, frozen=True):
    """What the model said. model: its name, as the server gives it; tokens: of the question, and of the answer.

    cached: whether it was asked before, and cost nothing now.
    """

    text: str
    calls: list[ToolCall] = []
    model: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached: bool = False
