"""The payments of each minute, and of each ten minutes, of event time, in the partition that they came through.

Keys are times in minutes since the epoch. The coarser table goes back to yesterday with a tenth of the rows.
"""

from __future__ import annotations

from app.bank import app
from app.models.traffic import Traffic

__all__ = ["MINUTES_KEPT", "TENS_KEPT", "minute_traffic", "ten_minute_traffic"]

#: How many minutes are kept: those of this hour and the one before, and then some.
MINUTES_KEPT = 130
#: How many ten minutes are kept, in minutes: a day and two hours.
TENS_KEPT = 26 * 60

minute_traffic = app.Table(
    "minute_traffic",
    default=Traffic,
    key_type=int,
    value_type=Traffic,
    partitions=4,
    help="Volume and value of a minute, by merchant, country and channel; customers, amounts.",
)

ten_minute_traffic = app.Table(
    "ten_minute_traffic",
    default=Traffic,
    key_type=int,
    value_type=Traffic,
    partitions=4,
    help="The same of ten minutes.",
)
