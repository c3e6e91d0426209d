"""The events of the auction, from a seed: the published model, written anew.

Of every 50 events one is a person, three are auctions and 46 are bids. Half of the bids are for the hot auction, the
first of each hundred; three quarters are by the hot bidder, the second of each hundred people, and as many auctions
are by the hot seller, the first of them. The others are about what is in flight: one of the last 100 auctions or 1,000
people, or one of the ten to come, so that some events name what is not there yet.

Source: the configuration and the generator of Apache Beam's Nexmark suite and of github.com/nexmark/nexmark. The
texts differ from theirs, byte for byte, as their random numbers do.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from string import ascii_lowercase

from bench.nexmark.events import LONGEST_AUCTION, Auction, Bid, Person

__all__ = ["Event", "Workload", "closing", "events"]

Event = Person | Auction | Bid

PERSONS, AUCTIONS, BIDS = 1, 3, 46
EVENTS_PER_ROUND = PERSONS + AUCTIONS + BIDS

FIRST_PERSON, FIRST_AUCTION, FIRST_CATEGORY = 1_000, 1_000, 10
CATEGORIES = 5
#: The hot one of so many; one in so many of the others is not about it.
HOT_OF = 100
HOT_AUCTIONS, HOT_SELLERS, HOT_BIDDERS, HOT_CHANNELS = 2, 4, 4, 2
IN_FLIGHT, ACTIVE_PEOPLE, TO_COME = 100, 1_000, 10
CHANNELS = 10_000
PERSON_BYTES, AUCTION_BYTES, BID_BYTES = 200, 500, 100

_STATES = ("AZ", "CA", "ID", "OR", "WA", "WY")
_CITIES = ("Phoenix", "Los Angeles", "San Francisco", "Boise", "Portland",
           "Bend", "Redmond", "Seattle", "Kent", "Cheyenne")  # fmt: skip
_FIRST_NAMES = ("Peter", "Paul", "Luke", "John", "Saul", "Vicky", "Kate", "Julie", "Sarah", "Deiter", "Walter")
_LAST_NAMES = ("Shultz", "Abrams", "Spencer", "White", "Bartels", "Walton", "Smith", "Jones", "Noris")
_HOT_CHANNELS = ("Google", "Facebook", "Baidu", "Apple")

#: The closing events come so much later, twice: longer than any query waits for late ones.
CLOSING_AFTER = timedelta(days=1)
CLOSING_EVENTS = 64
_CLOSING_IDS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Workload:
    """What is generated.

    events_per_s: of event time. middle: when half of the events have happened; a midnight, so that there are two days.
    disorder: each run of so many events comes in an order of its own; 1 for none.
    """

    events: int = 50_000
    seed: int = 1
    events_per_s: int = 500
    disorder: int = 1
    middle: datetime = datetime(2015, 7, 15, tzinfo=UTC)

    def time(self, number: int) -> datetime:
        """Return when an event happens, to the millisecond."""
        return self.middle + timedelta(milliseconds=(number - self.events // 2) * 1000 // self.events_per_s)


def events(workload: Workload) -> Iterator[Event]:
    """Yield the events in the order of the log; the same workload always yields the same ones."""
    model = _Model(workload)
    for number in range(workload.events):
        base = number - number % workload.disorder
        # 953 is a prime: this is an order of 0 … disorder - 1 wherever that is no multiple of it.
        yield model.event(base + number * 953 % workload.disorder)


def closing(workload: Workload) -> Sequence[Sequence[Event]]:
    """Return what comes a day later, and the day after: so many events that all partitions see one.

    Nothing but the events of a partition moves its time on, so without them the last windows would stay open. Those of
    the first day are all alike (equal prices, equally many bids), so that queries have to tell equal ones apart; those
    of the second end them.
    """
    return [_day_of_closing(workload, day) for day in (1, 2)]


def _day_of_closing(workload: Workload, day: int) -> Sequence[Event]:
    time = workload.time(workload.events) + day * CLOSING_AFTER
    first, second = (time + timedelta(milliseconds=ms) for ms in (1, 2))
    found: list[Event] = []
    for number in range(day * _CLOSING_IDS, day * _CLOSING_IDS + CLOSING_EVENTS):
        found += [
            Person(number, "Last One", "last@one.com", "0", "Boise", "WA", time, ""),
            Auction(number, "nothing", "", 1, 1, time, second, number, FIRST_CATEGORY + 1, ""),
            Bid(number, number, 1, "channel-0", "https://www.nexmark.com/", first, ""),
            Bid(number, number + 1, 1, "channel-0", "https://www.nexmark.com/", second, ""),
        ]
    return found


class _Model:
    """Draws events. What an event is, and whom it may be about, follows from its number alone."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        self.draw = random.Random(workload.seed)
        self.texts = "".join(self.draw.choices(ascii_lowercase, k=1 << 16))
        self.hot_urls = [self._url() for _ in _HOT_CHANNELS]
        self.channel_urls = [self._channel_url() for _ in range(CHANNELS)]

    def event(self, number: int) -> Event:
        """Return the event of a number."""
        at = number % EVENTS_PER_ROUND
        if at < PERSONS:
            return self.person(number)
        return self.auction(number) if at < PERSONS + AUCTIONS else self.bid(number)

    def person(self, number: int) -> Person:
        draw = self.draw
        name = f"{draw.choice(_FIRST_NAMES)} {draw.choice(_LAST_NAMES)}"
        email = f"{self._text(7)}@{self._text(5)}.com"
        card = " ".join(f"{draw.randrange(10_000):04d}" for _ in range(4))
        city, state = draw.choice(_CITIES), draw.choice(_STATES)
        extra = self._extra(8 + len(name + email + card + city + state), PERSON_BYTES)
        identity = FIRST_PERSON + _last_person(number)
        return Person(identity, name, email, card, city, state, self.workload.time(number), extra)

    def auction(self, number: int) -> Auction:
        draw, time = self.draw, self.workload.time(number)
        hot = draw.randrange(HOT_SELLERS) > 0
        seller = _last_person(number) // HOT_OF * HOT_OF if hot else self._someone(number)
        category = FIRST_CATEGORY + draw.randrange(CATEGORIES)
        initial_bid = self._price()
        reserve = initial_bid + self._price()
        item, description = self._text(20), self._text(100)
        extra = self._extra(48 + len(item + description), AUCTION_BYTES)
        identity = FIRST_AUCTION + _last_auction(number)
        expires = time + self._length(number)
        return Auction(
            identity, item, description, initial_bid, reserve, time, expires, FIRST_PERSON + seller, category, extra
        )

    def bid(self, number: int) -> Bid:
        draw, last = self.draw, _last_auction(number)
        if draw.randrange(HOT_AUCTIONS) > 0:
            auction = last // HOT_OF * HOT_OF
        else:
            auction = draw.randint(max(last - IN_FLIGHT, 0), last + TO_COME)
        hot = draw.randrange(HOT_BIDDERS) > 0
        bidder = _last_person(number) // HOT_OF * HOT_OF + 1 if hot else self._someone(number)
        price = self._price()
        if draw.randrange(HOT_CHANNELS) > 0:
            which = draw.randrange(len(_HOT_CHANNELS))
            channel, url = _HOT_CHANNELS[which], self.hot_urls[which]
        else:
            which = draw.randrange(CHANNELS)
            channel, url = f"channel-{which}", self.channel_urls[which]
        extra = self._extra(32, BID_BYTES)
        time = self.workload.time(number)
        return Bid(FIRST_AUCTION + auction, FIRST_PERSON + bidder, price, channel, url, time, extra)

    def _someone(self, number: int) -> int:
        """Return one of the active people, or of those to come."""
        people = _last_person(number) + 1
        active = min(people, ACTIVE_PEOPLE)
        return people - active + self.draw.randrange(active + TO_COME)

    def _length(self, number: int) -> timedelta:
        """Return how long an auction is open: on average until as many have begun as are to be in flight."""
        workload = self.workload
        horizon = workload.time(number + IN_FLIGHT * EVENTS_PER_ROUND // AUCTIONS) - workload.time(number)
        length = timedelta(milliseconds=1 + self.draw.randrange(max(1, 2 * horizon // timedelta(milliseconds=1))))
        assert length <= LONGEST_AUCTION, "the queries count on it: more events per second make auctions shorter"
        return length

    def _price(self) -> int:
        return round(10 ** (self.draw.random() * 6) * 100)

    def _text(self, length_max: int, blank: str = " ") -> str:
        length = self.draw.randrange(3, length_max)
        letters = [blank if self.draw.randrange(13) == 0 else self.draw.choice(ascii_lowercase) for _ in range(length)]
        return "".join(letters).strip()

    def _extra(self, bytes_so_far: int, bytes_average: int) -> str:
        """Return as much text as makes the event as large as its kind is on average, or up to a fifth off that."""
        missing = max(0, bytes_average - bytes_so_far)
        spread = round(missing * 0.2)
        length = missing - spread + (self.draw.randrange(2 * spread) if spread else 0)
        start = self.draw.randrange(len(self.texts) - length)
        return self.texts[start : start + length]

    def _url(self) -> str:
        return (
            f"https://www.nexmark.com/{self._text(5, '_')}/{self._text(5, '_')}/{self._text(5, '_')}/item.htm?query=1"
        )

    def _channel_url(self) -> str:
        """Return a channel's address; nine of ten say which channel it is."""
        url = self._url()
        return f"{url}&channel_id={self.draw.getrandbits(31)}" if self.draw.randrange(10) > 0 else url


def _last_person(number: int) -> int:
    """Return the number of the last person before an event, or of the event itself; people count from 0."""
    rounds, at = divmod(number, EVENTS_PER_ROUND)
    return rounds * PERSONS + min(at, PERSONS - 1)


def _last_auction(number: int) -> int:
    """Return the number of the last auction before an event, or of the event itself; -1 before the first."""
    rounds, at = divmod(number, EVENTS_PER_ROUND)
    return rounds * AUCTIONS + min(at - PERSONS, AUCTIONS - 1)
