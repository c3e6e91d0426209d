"""The world that the simulated payments happen in: cities, merchants, and account holders with habits.

Everything is a pure function of the seed, so that any process can recompute any account.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from random import Random
from zlib import crc32

__all__ = ["CITIES", "ONLINE_SHOPS", "AccountHolder", "City", "Merchant", "account_holder", "place_on_day"]


@dataclass(frozen=True, slots=True)
class City:
    """A place where cards are used, in degrees."""

    name: str
    country: str
    lat: float
    lon: float


@dataclass(frozen=True, slots=True)
class Merchant:
    """A shop and its category code (ISO 18245)."""

    name: str
    mcc: str


@dataclass(frozen=True, slots=True)
class AccountHolder:
    """One customer's habits.

    median: the usual amount of a payment; spread: the standard deviation of its logarithm.
    online_share: how much of the shopping happens online.
    shops, online_shops: where this customer buys; the local shops exist in every city (chains).
    """

    account: str
    card: str
    home: City
    median: float
    spread: float
    online_share: float
    shops: tuple[Merchant, ...]
    online_shops: tuple[Merchant, ...]


#: The first ten are home to the bank's customers; all are places to travel to.
CITIES = (
    City("Berlin", "DE", 52.52, 13.40),
    City("Hamburg", "DE", 53.55, 9.99),
    City("Munich", "DE", 48.14, 11.58),
    City("Vienna", "AT", 48.21, 16.37),
    City("Zurich", "CH", 47.37, 8.54),
    City("Paris", "FR", 48.86, 2.35),
    City("Lyon", "FR", 45.76, 4.84),
    City("Amsterdam", "NL", 52.37, 4.90),
    City("Milan", "IT", 45.46, 9.19),
    City("Prague", "CZ", 50.08, 14.44),
    City("Madrid", "ES", 40.42, -3.70),
    City("Lisbon", "PT", 38.72, -9.14),
    City("London", "GB", 51.51, -0.13),
    City("Oslo", "NO", 59.91, 10.75),
    City("Athens", "GR", 37.98, 23.73),
    City("Istanbul", "TR", 41.01, 28.98),
    City("Dubai", "AE", 25.20, 55.27),
    City("Lagos", "NG", 6.52, 3.38),
    City("New York", "US", 40.71, -74.01),
    City("Miami", "US", 25.76, -80.19),
    City("Sao Paulo", "BR", -23.55, -46.63),
    City("Singapore", "SG", 1.35, 103.82),
    City("Tokyo", "JP", 35.68, 139.69),
    City("Sydney", "AU", -33.87, 151.21),
)
HOME_CITIES = 10

_LOCAL_KINDS = (
    ("Grocery", "5411"),
    ("Restaurant", "5812"),
    ("Fuel", "5541"),
    ("Pharmacy", "5912"),
    ("Clothing", "5651"),
    ("Transit", "4111"),
    ("Hardware", "5251"),
    ("Bakery", "5462"),
)
LOCAL_SHOPS = tuple(Merchant(f"{kind} {number}", mcc) for kind, mcc in _LOCAL_KINDS for number in range(1, 6))

_ONLINE_KINDS = (("Books", "5942"), ("Fashion", "5691"), ("Electronics", "5732"), ("Games", "5816"), ("Travel", "4722"))
ONLINE_SHOPS = tuple(Merchant(f"{kind} online {number}", mcc) for kind, mcc in _ONLINE_KINDS for number in range(1, 13))

#: The share of days on which somebody is away from home.
TRAVEL_SHARE = 0.03


@lru_cache(maxsize=200_000)
def account_holder(seed: int, number: int) -> AccountHolder:
    """Return the customer with this number."""
    rng = Random(f"{seed}/account/{number}")  # noqa: S311 - it has to be reproducible, not secret
    return AccountHolder(
        account=f"acc-{number:05d}",
        card=f"card-{number:05d}",
        home=CITIES[rng.randrange(HOME_CITIES)],
        median=round(rng.lognormvariate(3.3, 0.5), 2),
        spread=rng.uniform(0.35, 0.6),
        online_share=rng.uniform(0.1, 0.5),
        shops=tuple(rng.sample(LOCAL_SHOPS, 8)),
        online_shops=tuple(rng.sample(ONLINE_SHOPS, 4)),
    )


def place_on_day(seed: int, number: int, day: int) -> City:
    """Return the city where a customer is on a day: nearly always home."""
    draw = crc32(b"%d/place/%d/%d" % (seed, number, day)) / 2**32
    if draw < TRAVEL_SHARE:
        return CITIES[int(draw / TRAVEL_SHARE * len(CITIES))]
    return account_holder(seed, number).home
