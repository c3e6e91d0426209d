"""The language model behind conversations, reviews and alerts: one small client, for whatever speaks the OpenAI API.

Nothing here imports `openai` before the first call of a worker that has a key; without one, callers have defaults of
their own, and say so in every answer.
"""

from app.llm.client import LanguageModel
from app.llm.errors import BadAnswer, BudgetSpent, CircuitOpen, ModelError, ModelUnavailable, Refused
from app.llm.messages import Message, Reply, Tool, ToolCall
from app.llm.settings import ModelSettings

__all__ = [
    "BadAnswer",
    "BudgetSpent",
    "CircuitOpen",
    "LanguageModel",
    "Message",
    "ModelError",
    "ModelSettings",
    "ModelUnavailable",
    "Refused",
    "Reply",
    "Tool",
    "ToolCall",
]
