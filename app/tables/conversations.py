"""What is remembered of the conversations with customers. Keyed by account, like the questions."""

from __future__ import annotations

from app.bank import app
from app.models import Conversation

__all__ = ["conversations"]

conversations = app.Table(
    "conversations",
    default=Conversation,
    key_type=str,
    value_type=Conversation,
    partitions=4,
    help="The latest turns with each customer.",
)
