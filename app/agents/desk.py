"""Let a person of the bank go on with a conversation: what they say is a record, like all that is said."""

from __future__ import annotations

from app.bank import app, person_answers
from app.models import PersonAnswer
from app.tables import conversations
from pelton import Stream

__all__ = ["take_over"]


@app.agent(person_answers)
async def take_over(stream: Stream[PersonAnswer]) -> None:
    """Put what a person says into the conversation, which waits for nobody then."""
    async for said in stream:
        conversations[said.account] = conversations[said.account].after_person(said)
