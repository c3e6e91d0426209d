"""Windowed tables of each kind, read in each way."""

import faust

import pelton


class Click(faust.Record):
    button: str
    at: float


app = pelton.App("windows", topic_partitions=2)
clicks_topic = app.topic("clicks", key_type=str, value_type=Click, partitions=1)
by_minute = app.Table("by_minute", default=int, partitions=1).tumbling(60.0, expires=3600.0).relative_to_field(Click.at)
sliding = app.Table("sliding", default=int, partitions=1).hopping(60, 20, expires=3600).relative_to_field(Click.at)
by_log = app.Table("by_log", default=int, partitions=1).tumbling(60).relative_to_stream()
by_clock = app.Table("by_clock", default=int, partitions=1).tumbling(3600 * 24 * 365).relative_to_now()
lists = app.Table("lists", default=list, partitions=1).tumbling(60).relative_to_field(Click.at)
by_faust = app.Table("by_faust", default=int, partitions=1, window=faust.HoppingWindow(60, 20, expires=3600))
by_faust = by_faust.relative_to_field(Click.at)
buttons = app.SetTable("buttons", key_type=str, value_type=str, partitions=1)
buttons = buttons.using_window(faust.TumblingWindow(60)).relative_to_field(Click.at)
seen = []


@app.agent(clicks_topic)
async def count(clicks):
    """Count clicks on each button in every kind of window."""
    async for event in clicks.events():
        click = event.value
        by_minute[click.button] += 1
        sliding[click.button] += 1
        by_log[click.button] += 1
        by_clock[click.button] += 1
        lists[click.button] += [click.at]
        by_faust[click.button] += 1
        buttons["all"].add(click.button)
        buttons["all"].add("tmp")
        buttons["all"].discard("tmp")
        counts = by_minute[click.button]
        seen.append(
            {
                "current": counts.current(),
                "value": counts.value(),
                "of_event": counts.current(event),
                "minute_ago": counts.delta(60),
                "now": counts.now(),
                "hopping": sliding[click.button].current(),
                "hopping_earlier": sliding[click.button].delta(40),
                "by_log": by_log[click.button].value(),
                "by_clock": by_clock[click.button].now(),
                "list": lists[click.button].value(),
                "by_faust": by_faust[click.button].current(),
                "buttons": buttons["all"].current(),
                "in": click.button in by_minute,
            }
        )
