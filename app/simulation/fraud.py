"""How thieves use cards: one function per kind of crime, each a short story told in payments.

The kinds bear the names of the rules that should find them; the rules never see the labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from app.models import Channel
from app.rules import distance_km
from app.simulation.world import CITIES, ONLINE_SHOPS, AccountHolder, City, Merchant

__all__ = ["KINDS", "Draft", "Scene", "Visit", "episodes"]


@dataclass(frozen=True, slots=True)
class Scene:
    """A customer, where the customer is, and whether still on the way there."""

    holder: AccountHolder
    city: City
    in_transit: bool


@dataclass(frozen=True, slots=True)
class Visit:
    """Where and how a card is used. city: None for where the customer is."""

    merchant: Merchant
    channel: Channel
    city: City | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """A payment that is still without its place in the stream. arrival: event time, seconds since the epoch."""

    arrival: float
    scene: Scene
    visit: Visit
    amount: float
    label: str = ""


#: A crime: from a scene and a first moment to payments, each with whether it is the thief's.
Crime = Callable[[Random, Scene, float], Iterator[tuple[Draft, bool]]]

#: No crime lasts longer.
DURATION_MAX_S = 600.0


def episodes(rng: Random, size: int, span: tuple[float, float], scene_at: Callable[[float], Scene]) -> list[Draft]:
    """Return the payments of all crimes within a block of `size` payments.

    span: first and last moment of the block; every crime ends within it.
    scene_at: chooses a victim for a moment.
    """
    drafts: list[Draft] = []
    for kind, (crime, per_thousand) in KINDS.items():
        expected = per_thousand * size / 1_000
        for episode in range(int(expected + rng.random())):
            begin = rng.uniform(span[0], max(span[0], span[1] - DURATION_MAX_S))
            label = f"{kind}:{int(begin)}-{episode}"
            for draft, stolen in crime(rng, _settled(scene_at, begin), begin):
                drafts.append(Draft(draft.arrival, draft.scene, draft.visit, draft.amount, label if stolen else ""))
    return drafts


def _settled(scene_at: Callable[[float], Scene], moment: float) -> Scene:
    """Return a victim who is not travelling just now."""
    scene = scene_at(moment)
    while scene.in_transit:
        scene = scene_at(moment)
    return scene


def _velocity(rng: Random, scene: Scene, begin: float) -> Iterator[tuple[Draft, bool]]:
    """A stolen card is tapped at one till after another, below the limit that asks for a PIN."""
    moment = begin
    for _ in range(rng.randint(6, 14)):
        moment += rng.uniform(2, 6)
        yield Draft(moment, scene, Visit(rng.choice(scene.holder.shops), "contactless"), rng.uniform(10, 50)), True


def _amount(rng: Random, scene: Scene, begin: float) -> Iterator[tuple[Draft, bool]]:
    """A stolen number buys the most expensive thing that can be sold on."""
    amount = max(100.0, scene.holder.median * rng.uniform(8, 25))
    yield Draft(begin, scene, Visit(rng.choice(ONLINE_SHOPS), "online"), amount), True


def _impossible_travel(rng: Random, scene: Scene, begin: float) -> Iterator[tuple[Draft, bool]]:
    """A copied card is used far away, minutes after its owner paid at home."""
    yield Draft(begin, scene, Visit(rng.choice(scene.holder.shops), "chip"), scene.holder.median), False
    here = scene.city
    far = [city for city in CITIES if distance_km(here.lat, here.lon, city.lat, city.lon) > 1_000]
    visit = Visit(Merchant("Jewellery", "5944"), "chip", rng.choice(far))
    yield Draft(begin + rng.uniform(60, 500), scene, visit, scene.holder.median * rng.uniform(1, 4)), True


def _card_testing(rng: Random, scene: Scene, begin: float) -> Iterator[tuple[Draft, bool]]:
    """A list of stolen numbers is tried with tiny payments; where one works, a purchase follows."""
    moment = begin
    for shop in rng.sample(ONLINE_SHOPS, rng.randint(5, 8)):
        moment += rng.uniform(15, 55)
        yield Draft(moment, scene, Visit(shop, "online"), rng.uniform(0.2, 2.0)), True
    purchase = scene.holder.median * rng.uniform(2, 10)
    yield Draft(moment + rng.uniform(10, 60), scene, Visit(rng.choice(ONLINE_SHOPS), "online"), purchase), True


#: Each kind of crime, and how often it happens in a thousand payments.
KINDS: dict[str, tuple[Crime, float]] = {
    "velocity": (_velocity, 0.5),
    "amount": (_amount, 1.5),
    "impossible_travel": (_impossible_travel, 1.0),
    "card_testing": (_card_testing, 0.5),
}
