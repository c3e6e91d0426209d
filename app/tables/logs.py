"""What is remembered about each service's log. All is in the partition of the service's lines.

Keys beside the service's name itself are "<service>/<number of the template>": an agent finds them in its partition;
whoever is outside of agents goes through all of them.
"""

from __future__ import annotations

from datetime import timedelta

from app.bank import app
from app.models import LogLine, LogMinute, LogService, Template
from app.retention import remembered
from pelton import Table

__all__ = ["log_minutes", "log_services", "template_key", "templates", "templates_of"]

log_services = app.Table(
    "log_services",
    default=LogService,
    key_type=str,
    value_type=LogService,
    partitions=4,
    help="What is known of the service.",
)

templates: Table[str, Template] = app.Table(
    "log_templates", key_type=str, value_type=Template, partitions=4, help="What the service says, by number."
)

log_minutes = (
    app.Table(
        "log_minutes",
        default=LogMinute,
        key_type=str,
        value_type=LogMinute,
        partitions=4,
        help="Lines and errors per minute, of services and of their templates.",
    )
    .tumbling(60, expires=remembered(timedelta(days=1)))
    .relative_to_field(LogLine.ts)
)


def template_key(service: str, number: int) -> str:
    """Return the key of a template, and of its minutes."""
    return f"{service}/{number}"


def templates_of(service: str) -> list[Template]:
    """Return the templates of a service, by number. For agents."""
    return [templates[template_key(service, number)] for number in range(1, log_services[service].templates + 1)]
