"""The state of the application, one file per domain noun."""

from app.tables.accounts import (
    ALERTS_KEPT,
    alert_histories,
    latest_payments,
    minute_of,
    minutes,
    profiles,
    ten_minutes,
    ten_minutes_before,
)
from app.tables.conversations import conversations
from app.tables.deployment import model_artifacts, model_registry, unjudged, version_quality
from app.tables.devices import detectors, devices
from app.tables.logs import log_minutes, log_services, template_key, templates, templates_of
from app.tables.orders import order_views
from app.tables.reviews import moods, words
from app.tables.training import consents, held_exchanges, lessons, near_duplicates, training_counts

__all__ = [
    "ALERTS_KEPT",
    "alert_histories",
    "consents",
    "conversations",
    "detectors",
    "devices",
    "held_exchanges",
    "latest_payments",
    "lessons",
    "log_minutes",
    "log_services",
    "minute_of",
    "minutes",
    "model_artifacts",
    "model_registry",
    "moods",
    "near_duplicates",
    "order_views",
    "profiles",
    "template_key",
    "templates",
    "templates_of",
    "ten_minutes",
    "ten_minutes_before",
    "training_counts",
    "unjudged",
    "version_quality",
    "words",
]
