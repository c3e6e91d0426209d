"""A second look at texts that were redacted: what still looks like something that must not be learned.

Redaction searches with patterns; this takes a text to pieces and compares shapes, so that no mistake is made twice.
It shares no code with `app.training.redaction`, and must not.
Sources: as there; Luhn by the table of doubled digits, ISO 7064 letter by letter.
"""

from __future__ import annotations

from collections.abc import Iterator
from string import ascii_letters, digits

__all__ = ["left_in"]

_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
_CARD_DIGITS_MIN, _CARD_DIGITS_MAX = 13, 19
_IBAN_MIN, _IBAN_MAX = 15, 34
#: How phones are written, each 9 any digit.
_PHONES = (
    "999-999-9999",
    "999.999.9999",
    "999 999 9999",
    "999 999-9999",
    "(999) 999-9999",
    "(999)999-9999",
    "170 9999999",
    "+99 999 9999999",
    "+999999999999",
    "0999 9999999",
    "0999/9999999",
    "09999999999",
)


def left_in(text: str) -> list[str]:
    """Return what a text still has: "card", "iban", "mail" or "phone" for each that is found."""
    found = ["mail" for word in text.split() if _is_mail(word)]
    found += ["card" for _ in _cards(text)]
    found += ["iban" for _ in _ibans(text)]
    return found + ["phone" for one in _PHONES for _ in _places(text, one)]


def _is_mail(word: str) -> bool:
    name, _, host = word.strip("<>()[],;:.!?\"'").rpartition("@")
    labels = host.split(".")
    named = name[-1:].isalnum() and len(labels) > 1 and all(label.replace("-", "").isalnum() for label in labels)
    return named and len(labels[-1]) > 1 and labels[-1].isalpha()


def _pieces(text: str, letters: str) -> list[str]:
    """Return the runs of these letters, and "" wherever more than a space or a hyphen is between two of them."""
    pieces, gap = [""], ""
    for letter in text:
        if letter not in letters:
            gap += letter
            continue
        if gap:
            pieces += [""] if gap in (" ", "-") else ["", ""]
        pieces[-1] += letter
        gap = ""
    return pieces


def _joined(pieces: list[str], size_min: int, size_max: int) -> Iterator[str]:
    """Yield what neighbours come to, from each of them on."""
    for first in range(len(pieces)):
        number = ""
        for piece in pieces[first:]:
            number += piece
            if not piece or len(number) > size_max:
                break
            if len(number) >= size_min:
                yield number


def _cards(text: str) -> Iterator[str]:
    for number in _joined(_pieces(text, digits), _CARD_DIGITS_MIN, _CARD_DIGITS_MAX):
        doubled = sum(_DOUBLED[int(digit)] for digit in number[-2::-2])
        if len(set(number)) > 1 and (sum(map(int, number[-1::-2])) + doubled) % 10 == 0:
            yield number


def _ibans(text: str) -> Iterator[str]:
    for number in _joined(_pieces(text, ascii_letters + digits), _IBAN_MIN, _IBAN_MAX):
        if number[:2].isalpha() and number[2:4].isdigit() and _remainder(number[4:] + number[:4]) == 1:
            yield number


def _remainder(letters: str) -> int:
    rest = 0
    for letter in letters:
        value = int(letter, 36)
        rest = (rest * (100 if value > 9 else 10) + value) % 97
    return rest


def _places(text: str, one: str) -> Iterator[int]:
    """Yield where something of a shape is, that is no part of a longer word or number."""
    for at in range(len(text) - len(one) + 1):
        before, behind = text[max(0, at - 2) : at], text[at + len(one) :][:2]
        if (
            not _alike(text, one, at)
            or before[-1:].isalnum()
            or behind[:1].isalnum()
            or "_" in before[-1:] + behind[:1]
        ):
            continue
        if not (_goes_on(before[::-1], " .,/-") or _goes_on(behind, ".,/-")):
            yield at


def _alike(text: str, one: str, at: int) -> bool:
    return all(
        text[at + place] == want or (want == "9" and text[at + place] in digits) for place, want in enumerate(one)
    )


def _goes_on(around: str, joints: str) -> bool:
    """Return whether a number goes on behind a joint."""
    return len(around) == 2 and around[0] in joints and around[1].isdigit()
