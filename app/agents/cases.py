"""Make cases of alerts: one crime is one case, however many rules speak, and however often.

`cases` tells of a case when it is opened, and when another rule joins in; that the same rule speaks again is counted,
and is no news. An alert that comes twice, since somebody sent it again, is the same alert.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from app.bank import alerts, app, cases
from app.models import Alert
from app.models.case import Case
from app.tables.cases import latest_cases
from pelton import Stream

__all__ = ["correlate"]


@app.agent(alerts, sink=[cases])
async def correlate(stream: Stream[Alert]) -> AsyncIterator[Case]:
    """Put each alert into the case of its account, or open one."""
    async for alert in stream:
        case = latest_cases.get(alert.account)
        if case is None or not case.takes(alert):
            latest_cases[alert.account] = opened = Case.opened_by(alert)
            yield opened
        elif not case.knows(alert):
            latest_cases[alert.account] = joined = case.joined_by(alert)
            if alert.rule not in case.rules:
                yield joined
