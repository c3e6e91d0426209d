"""Answer customers' questions, one customer's in order, many customers' at once.

A call reads what complete events left: the conversation up to the question before, and the customer's own facts. While
the model speaks, the pieces of its answer leave for the one who asks. The answer itself is an effect of the question,
like the conversation and the hand-over: all of them, or none. It is recorded, so a crash neither asks the model again
nor answers twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from app.bank import app, chat_replies, conversation_events, hand_overs, model, questions
from app.conversation import Facts, answered
from app.models import Answer, ChatReply, HandOver, Question
from app.models.training import Exchange
from app.tables import conversations
from pelton import Stream

__all__ = ["chat"]

#: What a call may take beyond the model's own time: the pieces of its answer are still on their way into the log.
CALL_S = model.settings.conversation_s + 20


@app.agent(questions, sink=[chat_replies])
async def chat(stream: Stream[Question]) -> AsyncIterator[ChatReply]:
    """Answer each question, and remember it."""
    async for question, answer in stream.map_async(ask, concurrency=16, order="key", timeout=CALL_S).pairs():
        account = question.account
        conversations[account] = conversations[account].after(question, answer)
        if answer.hand_over:
            passed_on = HandOver(account, question.id, question.text, answer.hand_over, question.ts)
            await hand_overs.send(key=account, value=passed_on)
        exchange = Exchange(account, question.id, question.text, answer.text, answer.by, question.ts, answer.hand_over)
        await conversation_events.send(key=account, value=exchange)
        yield ChatReply(question.id, "answer", answer.text, answer)


async def ask(question: Question) -> Answer:
    """Return the answer; what a model says meanwhile goes out piece by piece."""
    pieces: asyncio.Queue[ChatReply | None] = asyncio.Queue()
    telling = asyncio.create_task(_tell(question.account, pieces))

    def tell(piece: str | None) -> None:
        pieces.put_nowait(ChatReply(question.id, "void") if piece is None else ChatReply(question.id, "text", piece))

    try:
        so_far, facts = conversations[question.account], Facts(question.account)
        answer = await answered(model, question, so_far, facts, tell)
        pieces.put_nowait(None)
        await telling
        return answer
    finally:
        telling.cancel()


async def _tell(account: str, pieces: asyncio.Queue[ChatReply | None]) -> None:
    """Send pieces as they come, outside of any event; return when all are in the log, before the answer is."""
    receipt = None
    while (piece := await pieces.get()) is not None:
        receipt = await chat_replies.send(key=account, value=piece)
    if receipt is not None:
        await receipt
