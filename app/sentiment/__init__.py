"""How a text is understood: by a lexicon, by what was learned from customers' stars, and by a language model."""

from app.sentiment.aspects import ASPECTS, aspects_of
from app.sentiment.judging import opinion_of, understood
from app.sentiment.learned import CountsInMemory, Learner, words_of
from app.sentiment.lexicon import label_of, polarity

__all__ = [
    "ASPECTS",
    "CountsInMemory",
    "Learner",
    "aspects_of",
    "label_of",
    "opinion_of",
    "polarity",
    "understood",
    "words_of",
]
