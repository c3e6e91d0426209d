"""The application object and its topics; every other module of `app` hangs something on them."""

from __future__ import annotations

import pelton
from app.models import Alert, Transaction

__all__ = ["BODY_BYTES_MAX", "alerts", "app", "transactions"]

#: The largest body that a POST may have.
BODY_BYTES_MAX = 1024 * 1024

app = pelton.App(
    "bank",
    topic_partitions=4,
    web_application_options={"client_max_size": BODY_BYTES_MAX},
)

#: Card payments, keyed by account, so that one account's payments are processed in order.
transactions = app.topic("transactions", key_type=str, value_type=Transaction, partitions=4)

#: Suspicions, keyed by account.
alerts = app.topic("alerts", key_type=str, value_type=Alert, partitions=4)
