"""What topics take of what agents send them.

A record that its topic does not take would fail the commit of every other event too, for ever. So the event that sends
it must fail, and be dead-lettered. Sizes are known from the start; the other reasons, which are rare, are learnt from
the first commit that is refused: from then on each message for that topic is judged, and the event is found when it is
handled again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from pelton.clock import Clock
from pelton.errors import RecordRefusedError, RecordTooLargeError
from pelton.log.contract import Log, RecordRules
from pelton.stream.lane import JUDGED, Send, too_large

__all__ = ["Acceptance"]

#: How much nearer than a topic's bound a timestamp must be: our clock is not the broker's. If that was not enough, four
#: times as much, up to the most.
_SLACK_MS = 60_000
_SLACK_MS_MAX = 7 * 24 * 3_600_000


class _Known(NamedTuple):
    rules: RecordRules
    slack_ms: int


class Acceptance:
    """What is known of the topics.

    sizes: topic -> how large a record of it may be. limits: the same, but JUDGED where there is more to ask, which
        `judge` knows.
    counts: topic -> number of partitions.
    """

    def __init__(self, log: Log, clock: Clock, counts: Mapping[str, int]) -> None:
        self.sizes: dict[str, int] = {}
        self.limits: dict[str, int] = {}
        self._log = log
        self._clock = clock
        self._counts = counts
        self._known: dict[str, _Known] = {}

    async def learn_sizes(self, topics: Iterable[str]) -> bool:
        """Ask how large records may be; return whether that has changed."""
        before = dict(self.sizes)
        self.sizes |= await self._log.record_bytes_max(topics)
        self._tell()
        return self.sizes != before

    async def learn(self, error: RecordRefusedError) -> bool:
        """Find out why a topic has refused a record; return whether `judge` will refuse it from now on."""
        if isinstance(error, RecordTooLargeError):
            return await self.learn_sizes(self._counts)
        topic = error.topic
        if topic is None:
            return False
        rules = (await self._log.record_rules([topic])).get(topic, RecordRules())
        known, slack_ms = self._known.get(topic), _SLACK_MS
        if known is not None and known.rules == rules:
            slack_ms = 4 * known.slack_ms
            if slack_ms > _SLACK_MS_MAX or rules.before_ms is rules.after_ms is None:
                return False
        self._known[topic] = _Known(rules, slack_ms)
        self._tell()
        return True

    def _tell(self) -> None:
        self.limits |= self.sizes | dict.fromkeys(self._known, JUDGED)

    def judge(self, message: Send, nbytes: int) -> None:
        """Judge a message for a topic that has refused one before. Raises: RecordRefusedError."""
        topic = message.topic
        if nbytes > (limit := self.sizes.get(topic, nbytes)):
            raise too_large("send", topic, nbytes, limit)
        if reason := self._offence(message, self._known[topic]):
            raise RecordRefusedError(f"could not send: {topic!r} {reason}", topic=topic)

    def _offence(self, message: Send, known: _Known) -> str:
        """Return what a topic has against a message, to follow its name; "" when it takes it."""
        count = self._counts.get(message.topic)
        if count is None:
            return "cannot be the name of a topic"
        if message.partition is not None and not 0 <= message.partition < count:
            return f"has {count} partitions, and none of number {message.partition}"
        rules = known.rules
        if rules.keyed and message.key is None:
            return "is compacted, and takes no records without a key"
        ahead_ms = message.timestamp_ms - self._clock.time_ms()
        if rules.after_ms is not None and ahead_ms > rules.after_ms - known.slack_ms:
            return f"takes timestamps up to {rules.after_ms} ms ahead, got {ahead_ms} (message.timestamp.after.max.ms)"
        if rules.before_ms is not None and -ahead_ms > rules.before_ms - known.slack_ms:
            return f"takes timestamps up to {rules.before_ms} ms old, got {-ahead_ms} (message.timestamp.before.max.ms)"
        return ""
