"""Bring the lines of all services into one shape, learn what each service says, and tell when that changes.

`parse_lines` puts whatever was shipped under the key of its service; `watch_services` sees each service's lines in
order. The miner of a service is a local variable: it ends with the agent's run, and is built again from its table, so
that it never knows more than what is committed. Silence is measured in the time at which lines are shipped, so that an
old file that is read today is not taken for one; what else is known goes by the time that the lines bear.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from msgspec.structs import replace

from app.anomaly import of_line
from app.bank import app, log_alerts, logs, raw_logs, suspects
from app.log_rules import SILENCE_S, after_line, burst, new_template, new_version, silence
from app.logformats import parse
from app.models import LogAlert, LogLine, RawLine
from app.tables import log_minutes, log_services, template_key, templates, templates_of
from app.templates import Miner
from pelton import FiredTimer, Stream

__all__ = ["parse_lines", "watch_services"]


@app.agent(raw_logs)
async def parse_lines(stream: Stream[RawLine]) -> None:
    """Send each line on in the one shape, under its service."""
    async for event in stream.events():
        line = parse(event.value.text, str(event.key or ""), event.message.timestamp)
        await logs.send(key=line.service, value=line)


@app.agent(logs, sink=[log_alerts])
async def watch_services(stream: Stream[LogLine]) -> AsyncIterator[LogAlert]:
    """Mine templates, count lines and errors per minute, alert on what is new or too much, and on silence."""
    miners: dict[str, Miner] = {}
    timers = stream.timers()
    async for one in timers:
        if isinstance(one, FiredTimer):
            service = log_services[one.key]
            if not service.silent:  # of the two timers, the first one tells
                log_services[one.key] = replace(service, silent=True)
                yield silence(one.key, service)
            continue

        name = one.service
        if name not in miners:
            miners[name] = Miner(templates_of(name))
        number, text, anchor = miners[name].add(one.message)
        key = template_key(name, number)
        templates[key] = template = new_version(templates.get(key), one, number, text, anchor)
        log_services[name] = service = after_line(log_services[name], one, number)
        log_minutes[name] += one
        log_minutes[key] += one
        timers.set("silence", after=SILENCE_S)  # by the lines of others
        timers.set("silence by the clock", after=SILENCE_S, clock="wall")  # where no other is in the partition

        found = (new_template(service, template), burst(service, template, one))
        told = [alert for alert in found if alert is not None]
        for alert in told:
            yield alert
        suspect = of_line(one, service, template, told)
        if suspect is not None:
            await suspects.send(key=name, value=suspect)
