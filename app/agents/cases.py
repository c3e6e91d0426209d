"""Make cases of alerts: one crime is one case, however many rules speak, and however often.

`cases` tells of a case when it is opened, and when another rule joins in; that the same rule speaks again is counted,
and is no news. An alert that comes again, since somebody sent it again, is the same alert, also long after it and out
of order: an account's cases of a week are known.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from app.bank import alerts, app, cases
from app.models import Alert
from app.models.case import Case
from app.tables.cases import account_cases
from pelton import Stream

__all__ = ["correlate"]


@app.agent(alerts, sink=[cases])
async def correlate(stream: Stream[Alert]) -> AsyncIterator[Case]:
    """Put each alert into the case of its account, or open one."""
    async for alert in stream:
        known = account_cases[alert.account]
        after, news = known.after(alert)
        if after is not known:
            account_cases[alert.account] = after
        if news is not None:
            yield news
