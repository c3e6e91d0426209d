"""What must not be learned by heart is taken out of texts: numbers of cards, accounts and phones, mail addresses.

Where a number is known by its checksum (cards by Luhn, IBANs by ISO 7064), no other number is taken for one, and none
is missed for its spaces. Phone numbers have no checksum: whatever looks like one goes, rather too many than too few.
`app.training.inspecting` looks at what is left, by other means.
Sources: ISO/IEC 7812-1 (Luhn), ISO 13616 (IBAN), ITU-T E.164 (phone numbers have 15 digits at most), North American
Numbering Plan (3, 3 and 4 digits).
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise

__all__ = ["is_card", "is_iban", "redacted"]

CARD_DIGITS = range(13, 20)

#: Characters that are not seen, and would part a number.
_UNSEEN = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
_MAIL = re.compile(r"[\w.+%-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}")
_IBAN = re.compile(r"(?<![A-Za-z0-9])(?=([A-Za-z]{2}[ -]?\d{2}(?:[ -]?[A-Za-z0-9]){11,30}))")
_ACCOUNT = re.compile(r"\bacc-\w+", re.IGNORECASE)
_DIGITS = re.compile(r"\d(?:[ .\-/]{0,2}\d)*")
_PHONE = re.compile(
    r"(?<!\w)(?<!\d[.,/])(?!0\d[./][01]\d[./](?:19|20)\d\d(?!\d))"  # 05.01.2026 is a day,
    r"(?!(?<=\b(?:19|20)\d\d-)0\d-[0-3]\d(?!\d))"  # and so is 2026-01-05
    r"(?:\+|00|\(?0)\d?(?:[ ()\-/.]{0,2}\d){5,16}(?![\w])"
)
#: Without a prefix: in groups as North Americans write them, or a mobile number of Germany less its 0. Groups of three
#: alone are an amount, and with more digits before or behind, it is a number of another kind.
_LOCAL_PHONE = re.compile(
    r"(?<!\w)(?<!\d[.,/\-])(?:(?<!\d )|(?=\(|\d{3}[.\-]))"
    r"(?:(?:1[ .\-])?(?:\(\d{3}\) ?|\d{3}[ .\-])\d{3}[ .\-]\d{4}|1[567]\d[ /\-](?:\d{7,8}|\d{3} \d{4,5}))"
    r"(?!\w|[.,/\-]\d)"
)


def redacted(text: str) -> tuple[str, Counter[str]]:
    """Return a text without what must not be learned, and how often something of each kind was taken out.

    >>> redacted("My card 4111 1111 1111 1111 is lost, call +49 170 1234567")
    ('My card <CARD> is lost, call <PHONE>', Counter({'card': 1, 'phone': 1}))
    >>> redacted("Invoice 4111 1111 1111 1112 over 1,250.00 EUR")
    ('Invoice 4111 1111 1111 1112 over 1,250.00 EUR', Counter())
    """
    found: Counter[str] = Counter()

    def mark(kind: str) -> Callable[[object], str]:
        def replaced(_: object) -> str:
            found[kind] += 1
            return f"<{kind.upper()}>"

        return replaced

    text = _UNSEEN.sub("", unicodedata.normalize("NFKC", text))
    text = _MAIL.sub(mark("mail"), text)
    text = _without_ibans(text, mark("iban"))
    text = _DIGITS.sub(lambda match: _without_cards(match[0], mark("card")), text)
    text = _PHONE.sub(mark("phone"), text)
    text = _LOCAL_PHONE.sub(mark("phone"), text)
    text = _ACCOUNT.sub(mark("account"), text)
    return text, found


def is_card(digits: str) -> bool:
    """Return whether digits are a card's number: as many as one has, and right by Luhn."""
    if len(digits) not in CARD_DIGITS or len(set(digits)) == 1:
        return False
    doubled = [int(digit) * (2 if index % 2 else 1) for index, digit in enumerate(reversed(digits))]
    return sum(digit - 9 if digit > 9 else digit for digit in doubled) % 10 == 0


def is_iban(text: str) -> bool:
    """Return whether letters and digits are an IBAN: 97 divides it, with its first four behind the others, less one."""
    if not re.fullmatch(r"[A-Z]{2}\d{2}[A-Z0-9]{11,30}", text):
        return False
    return int("".join(str(int(letter, 36)) for letter in text[4:] + text[:4])) % 97 == 1


def _without_ibans(text: str, mark: Callable[[object], str]) -> str:
    """Return a text without IBANs. Words before and behind one may look like its beginning or its end."""
    kept, end = "", 0
    for match in _IBAN.finditer(text):
        if match.start() >= end and (size := _iban_size(match[1], text[match.end(1) : match.end(1) + 1])):
            kept, end = kept + text[end : match.start()] + mark(None), match.start() + size
    return kept + text[end:]


def _iban_size(text: str, behind: str) -> int:
    """Return how much of a text's beginning is an IBAN, 0 for nothing. Of several, those win that end a word.

    behind: the letter that follows the text, if one does.
    """
    places = [index for index, letter in enumerate(text) if letter.isalnum()]
    letters = "".join(text[place] for place in places).upper()
    sizes = [size for size in range(len(places), 14, -1) if is_iban(letters[:size])]
    ends = [places[size - 1] + 1 for size in sizes]
    return min(ends, key=lambda end: (text + behind)[end : end + 1].isalnum(), default=0)


def _without_cards(text: str, mark: Callable[[object], str]) -> str:
    """Return a run of digits without the cards' numbers in it; numbers before and behind one stay.

    One run of a few may be right by chance, and overlap a card's: then both go.
    """
    places = [index for index, letter in enumerate(text) if letter.isdigit()]
    if len(places) < CARD_DIGITS.start:
        return text
    digits = "".join(text[place] for place in places)
    cards = [(places[first], places[last]) for first, last in _spans(places) if is_card(digits[first : last + 1])]
    kept, end = "", 0
    while cards:
        first, last = cards.pop(0)
        while cards and cards[0][0] <= last:
            last = max(last, cards.pop(0)[1])
        kept, end = kept + text[end:first] + mark(None), last + 1
    return kept + text[end:]


def _spans(places: list[int]) -> Iterator[tuple[int, int]]:
    """Yield which digits may be a card's, from the first on: those that whole groups come to.

    In one group that is longer than any card's number, any of its digits may begin or end one.
    """
    parted = [0, *(at for at in range(1, len(places)) if places[at] - places[at - 1] > 1), len(places)]
    long = any(end - start > CARD_DIGITS.stop - 1 for start, end in pairwise(parted))
    starts = set(range(len(places)) if long else parted[:-1])
    ends = set(range(len(places)) if long else (at - 1 for at in parted[1:]))
    for first in sorted(starts):
        for size in CARD_DIGITS:
            if first + size - 1 in ends:
                yield first, first + size - 1
