"""Questions as customers ask them, each in its own words, with numbers in them that nobody should learn by heart.

A pure function of seed and sequence number.
"""

from __future__ import annotations

from random import Random
from typing import NamedTuple

__all__ = ["CUSTOMERS", "Asked", "agrees", "asked", "card_number", "iban"]

CUSTOMERS = 200
#: How many customers agree that their conversations are used, and how often one says whether an answer helped.
AGREE_SHARE = 0.7
RATING_SHARE = 0.5

#: What is asked, and how often the answer helps.
_ASKED = (
    ("What is my balance?", 0.9),
    ("What are my latest payments?", 0.9),
    ("How much do I usually spend?", 0.8),
    ("I lost my card, what do I do?", 0.9),
    ("How long does a transfer take?", 0.9),
    ("What does the current account cost?", 0.8),
    ("I forgot my password", 0.9),
    ("Which interest do savings pay?", 0.7),
    ("What is the status of my case?", 0.2),
    ("Is any of my payments suspicious?", 0.1),
    ("How do I dispute a card payment?", 0.2),
    ("Let me talk to a person, please", 0.5),
)
_BEFORE = ("Hello,", "Hi.", "Good morning.", "Dear bank,", "Sorry to ask again.", "It is urgent!", "")
_WHY = (
    "I paid {amount} EUR at {place} and wonder whether that went through.",
    "We are moving to {place} next {month}.",
    "My daughter begins her studies in {place} in {month}.",
    "I was charged {amount} EUR in {place} last {month}.",
    "My employer in {place} paid me late in {month}.",
    "I want to buy a bicycle in {place} before {month}.",
    "",
)
_ABOUT = (
    "My card is {card}.",
    "My IBAN is {iban}.",
    "Call me: {phone}.",
    "Write to {mail}, please.",
    "",
    "",
    "",
    "",
)
_PLACES = ("Hamburg", "Porto", "Lyon", "Krakow", "Graz", "Ghent", "Malmo", "Trieste", "Brno", "Galway", "Tartu")
_MONTHS = ("January", "March", "April", "June", "July", "August", "October", "December")
_NAMES = ("ann", "bob", "carla", "dirk", "elif", "fred", "gita", "hugo", "ines", "jan", "kim", "lea")


class Asked(NamedTuple):
    """A question. helpful: what the customer will say of the answer; None who says nothing."""

    account: str
    text: str
    helpful: bool | None


def asked(seed: int, number: int) -> Asked:
    """Return the question with this number."""
    rng = Random(f"{seed}/question/{number}")  # noqa: S311 - it has to be reproducible, not secret
    account = f"acc-{rng.randrange(CUSTOMERS):05d}"
    text, helps = rng.choice(_ASKED)
    words = {
        "amount": f"{rng.randrange(1, 900)}.{rng.randrange(100):02d}",
        "place": rng.choice(_PLACES),
        "month": rng.choice(_MONTHS),
        "card": card_number(rng),
        "iban": iban(rng),
        "phone": f"+49 17{rng.randrange(10)} {rng.randrange(1_000_000, 10_000_000)}",
        "mail": f"{rng.choice(_NAMES)}.{rng.choice(_NAMES)}@example.com",
    }
    parts = [rng.choice(_BEFORE), rng.choice(_WHY).format(**words), text, rng.choice(_ABOUT).format(**words)]
    helpful = rng.random() < helps if rng.random() < RATING_SHARE else None
    return Asked(account, " ".join(part for part in parts if part), helpful)


def agrees(account: str) -> bool:
    """Return whether a customer agrees that conversations are used for training."""
    return Random(f"{account}/consent").random() < AGREE_SHARE  # noqa: S311 - see above


def card_number(rng: Random) -> str:
    """Return a card's number, right by Luhn, in groups of four."""
    digits = [4, *(rng.randrange(10) for _ in range(14))]
    doubled = [digit * 2 - 9 * (digit > 4) if index % 2 == 0 else digit for index, digit in enumerate(digits)]
    whole = "".join(map(str, digits)) + str(-sum(doubled) % 10)
    return " ".join(whole[at : at + 4] for at in range(0, 16, 4))


def iban(rng: Random) -> str:
    """Return a German IBAN, whose check digits are right, in groups of four."""
    account = "".join(str(rng.randrange(10)) for _ in range(18))
    check = 98 - int(f"{account}131400") % 97  # "DE00", letters as numbers, behind the account
    whole = f"DE{check:02d}{account}"
    return " ".join(whole[at : at + 4] for at in range(0, 22, 4))
