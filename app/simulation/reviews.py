"""Reviews as customers write them: a mood, which products have on good and bad days, in words and stars.

A pure function of seed and sequence number. A minute of simulated time passes from one review to the next, so an hour,
after which the windows close, is sixty reviews.
"""

from __future__ import annotations

from random import Random

from app.models import Review

__all__ = ["PRODUCTS", "review"]

PRODUCTS = ("current account", "credit card", "mobile app", "home loan", "savings plan", "travel insurance")
STEP_S = 60.0
HOUR_S = 3600.0
#: Each product has so many bad hours one after the other in a cycle of so many hours, each at another time.
CYCLE_HOURS = 48
BAD_HOURS = 6
STARS_SHARE = 0.7

_GOOD = (
    "I love how fast transfers are.",
    "The app is wonderful and easy to use.",
    "Great service, the agent was friendly and solved it at once.",
    "Fair fees, much better than my old bank.",
    "I feel safe: a stolen card was blocked within minutes, excellent.",
    "The card works everywhere, very happy with it.",
    "Good interest rate and no hidden charges.",
    "Best login I have seen, quick and secure.",
)
_BAD = (
    "The app crashes all the time, it is horrible.",
    "They charged me fees that nobody told me about, a scam.",
    "I waited two hours on the hotline and the staff was rude.",
    "Transfers are delayed for days, terrible.",
    "My card was blocked for no reason and I was stuck abroad.",
    "The worst update ever, the login fails and nobody cares.",
    "Interest rates are awful and the costs keep growing.",
    "I do not trust them any more, my account was hacked.",
)
_PLAIN = (
    "I have had it for a year.",
    "It is what I expected.",
    "I use it for my salary and the rent.",
    "There are branches in most cities.",
    "I opened it online last month.",
)


def review(seed: int, number: int, start: float) -> Review:
    """Return the review with this number. start: event time of the first one."""
    rng = Random(f"{seed}/review/{number}")  # noqa: S311 - it has to be reproducible, not secret
    which = rng.randrange(len(PRODUCTS))
    ts = start + number * STEP_S
    hour = int((ts - start) // HOUR_S)
    bad = (hour + which * CYCLE_HOURS // len(PRODUCTS)) % CYCLE_HOURS >= CYCLE_HOURS - BAD_HOURS
    liking = rng.gauss(-0.6 if bad else 0.5, 0.5)
    said = [rng.choice(_GOOD if rng.random() < (liking + 1) / 2 else _BAD) for _ in range(rng.randint(1, 3))]
    if rng.random() < 0.4:
        said.insert(rng.randrange(len(said) + 1), rng.choice(_PLAIN))
    good = sum(sentence in _GOOD for sentence in said) / sum(sentence not in _PLAIN for sentence in said)
    stars = max(1, min(5, round(1 + 4 * good))) if rng.random() < STARS_SHARE else None
    return Review(f"review-{seed}-{number}", PRODUCTS[which], " ".join(said), ts, stars)
