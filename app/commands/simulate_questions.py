"""`faust -A app simulate-questions`: customers ask, agree to training or not, and say whether an answer helped."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from itertools import count as counted
from uuid import uuid4

from app.bank import app, conversation_events, questions
from app.models import Question
from app.models.training import Consent, Rating
from app.simulation.questions import agrees, asked
from pelton import AppCommand, option

__all__ = ["send_questions", "simulate_questions"]

#: How long a customer reads an answer before saying what it was worth.
READ_S = 5.0


@app.command(
    option("--rate", type=float, default=1, show_default=True, help="Questions a second."),
    option("--seed", type=int, default=7, show_default=True, help="What is asked, and by whom."),
    option("--count", type=int, default=0, help="Stop after so many questions; 0 for never."),
)
async def simulate_questions(self: AppCommand, *, rate: float, seed: int, count: int) -> None:
    """Send customers' questions, consents and ratings.

    Pages: /chat, account by account, /chat/desk with those that wait for a person, /training with what is made of them.
    """
    sent = await send_questions(rate, seed, count)
    print(f"sent {sent:,} questions")


async def send_questions(rate: float, seed: int, count: int = 0) -> int:
    """Send so many questions, or without end, and what customers say of answers; return how many questions."""
    begin, told, coming = time.monotonic(), set[str](), deque[tuple[float, Rating]]()
    first = int(time.time())  # each run asks something else
    for sent in counted():
        while coming and (coming[0][0] <= time.monotonic() or sent == count):
            due, rating = coming.popleft()
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            await (await conversation_events.send(key=rating.account, value=rating))
        if count and sent >= count:
            return sent
        account, text, helpful = asked(seed, first + sent)
        if account not in told:
            told.add(account)
            consent = Consent(account, agrees(account), time.time())
            await (await conversation_events.send(key=account, value=consent))
        one = Question(uuid4().hex, account, text, time.time())
        await (await questions.send(key=account, value=one))
        if helpful is not None:
            coming.append((time.monotonic() + READ_S, Rating(account, one.id, helpful, one.ts + READ_S)))
        await asyncio.sleep(max(0.0, begin + (sent + 1) / rate - time.monotonic()))
    raise AssertionError("unreachable")
