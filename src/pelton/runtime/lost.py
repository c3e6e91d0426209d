"""The retention trap: records that the log has deleted before the group read them (invariant I7).

A worker that was down for longer than the retention comes back to a committed offset that no longer exists. Nobody
but the operator can say what to do then, so it is a setting, and none of its values is silent.
"""

from __future__ import annotations

import logging

from pelton.batch import TopicPartition
from pelton.config import LostRecords
from pelton.errors import RecordsLostError
from pelton.log.contract import OffsetRange

__all__ = ["RetentionTrap"]

logger = logging.getLogger(__name__)


class RetentionTrap:
    """What is done about lost records, and how many there were.

    records: those that were lost since the worker started; an upper bound where offsets had gaps.
    """

    def __init__(self, policy: LostRecords) -> None:
        self.policy: LostRecords = policy
        self.records = 0

    def pass_over(self, source: TopicPartition, offset: int, committed: int | None, span: OffsetRange) -> int:
        """Return the offset to go on from.

        offset: the next one to read, which lies before span.start. committed: the group's, None when it has none.
        Raises: RecordsLostError when the policy is to fail.
        """
        lost = span.start - offset
        self.records += lost
        message = (
            f"{lost} records of {source} were deleted before they were read: the first one left is {span.start}, "
            f"the next to read was {offset}, the committed offset is {'none' if committed is None else committed}"
        )
        if self.policy == "fail":
            raise RecordsLostError(
                message,
                hint="to go on without them, set on_lost_records (PELTON_ON_LOST_RECORDS) to earliest, which goes on "
                "with what is left, or latest, which leaves that out too; and give the topic a longer retention",
                topic=source.topic,
                partition=source.partition,
                offset=offset,
            )
        target = span.start if self.policy == "earliest" else span.end
        logger.error("%s; on_lost_records is %s: it goes on from %d", message, self.policy, target)
        return target
