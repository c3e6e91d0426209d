"""Services beside the bank: applications of their own, each with its own workers, group and tables.

    faust -A app.services.orders worker        faust -A app.services.payments worker        …notifications worker

They share the log and the events of `app.models.order`, nothing else; none calls another.
"""

from __future__ import annotations

from pathlib import Path

import pelton
from app.bank import BANK_ID
from app.bank import app as bank
from app.bank import order_events as events
from app.models.order import OrderEvent
from app.retention import DELETIONS, EVENTS, REPLIES

__all__ = ["SERVICES", "order_events", "service"]

#: Name -> port of its web server (health, metrics), unless WEB_PORT or --web-port says otherwise.
SERVICES = {"orders": 6067, "payments": 6068, "notifications": 6069}


def service(name: str) -> pelton.App:
    """Return the application of a service: its id, and so its group, is its own, and so is its data directory."""
    directory = Path(bank.conf.datadir).absolute()
    app = pelton.App(
        f"{BANK_ID}-{name}",
        broker=f"sqlite:///{directory}/log.sqlite",
        topic_partitions=4,
        web_port=SERVICES[name],
        reply_expires=REPLIES,
        changelog_delete_retention_ms=DELETIONS,
    )
    app.conf.datadir = directory / "services" / name  # APP_DATADIR is the bank's
    return app


def order_events(app: pelton.App) -> pelton.Topic[str, OrderEvent]:
    """Return the topic of all that happens to orders, as a service reads it and writes to it."""
    return app.topic(events.get_topic_name(), key_type=str, value_type=OrderEvent, partitions=4, retention=EVENTS)
