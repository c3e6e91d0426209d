"""What runs beside agents: tasks, timers, cron jobs, services, commands, pages, signals."""

from mode import Service

import pelton

app = pelton.App("schedules", topic_partitions=2)
happened = []
table = app.Table("counts", default=int, key_type=str)


@app.task
async def once():
    """Run at the start."""
    happened.append("task")


@app.task()
async def with_app(app):
    """Run at the start, with the app."""
    happened.append(f"task of {app.conf.id}")


@app.task(on_leader=True)
async def leader_only():
    happened.append("leader")


@app.timer(interval=0.01)
async def tick():
    if "tick" not in happened:
        happened.append("tick")


@app.timer(0.01, on_leader=True)
async def leader_tick(app):
    if "leader tick" not in happened:
        happened.append("leader tick")


@app.crontab("0 4 29 2 *")
async def each_leap_day():
    happened.append("cron")


@app.crontab("* * * * * */1")
async def each_second(app):
    if "cron each second" not in happened:
        happened.append("cron each second")


@app.service
class Background(Service):
    """Starts and stops with the worker."""

    async def on_start(self):
        happened.append("service started")

    async def on_stop(self):
        happened.append("service stopped")


@app.on_before_configured.connect
def before_configured(app, **kwargs):
    happened.append("before configured")


@app.on_configured.connect
def configured(app, conf, **kwargs):
    happened.append("configured")


@app.on_after_configured.connect
def after_configured(app, **kwargs):
    happened.append("after configured")


@app.on_partitions_assigned.connect
async def assigned(app, assigned, **kwargs):
    happened.append(("assigned", tuple(sorted(assigned))))


@app.on_partitions_revoked.connect
async def revoked(app, revoked, **kwargs):
    happened.append(("revoked", tuple(sorted(revoked))))


@app.on_rebalance_complete.connect
async def rebalanced(app, **kwargs):
    happened.append("rebalanced")


@app.on_before_shutdown.connect
async def before_shutdown(app, **kwargs):
    happened.append("before shutdown")


@app.agent(app.topic("events", key_type=str, value_type=str))
async def count(stream):
    """Count events."""
    async for key, _ in stream.items():
        table[key] += 1


@app.command()
async def greet():
    """Say hello."""
    print("hello from a command")


@app.page("/counts/{key}")
class Counts(pelton.View):
    """The count of a key."""

    async def get(self, request, key):
        return self.json({"key": key, "count": table[key]})

    async def post(self, request, key):
        await count.send(key=key, value="from the web")
        return self.json({"sent": True})


@app.page("/hello/")
async def hello(self, request):
    """Say hello."""
    return self.text("hello")
