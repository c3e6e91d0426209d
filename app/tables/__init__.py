"""The state of the application, one file per domain noun."""

from app.tables.accounts import (
    ALERTS_KEPT,
    alert_histories,
    minute_of,
    minutes,
    profiles,
    ten_minutes,
    ten_minutes_before,
)

__all__ = ["ALERTS_KEPT", "alert_histories", "minute_of", "minutes", "profiles", "ten_minutes", "ten_minutes_before"]
