"""How a customer's question is answered: from the bank's FAQ and the customer's own facts, with or without a model."""

from app.conversation.answering import answered
from app.conversation.facts import TOOLS, Facts, FactTool

__all__ = ["TOOLS", "FactTool", "Facts", "answered"]
