"""Traces of a real worker, as a receiver of OTLP gets them."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from pelton.testing.broker import free_ports
from tests.integration.stuck_scene import Worker, opened
from tests.patience import PATIENCE_S


class Receiver:
    """Takes traces by OTLP over HTTP. spans: those that came; resources: what each of them says of its worker."""

    def __init__(self) -> None:
        self.port = free_ports(1)[0]
        self.spans: list[Any] = []
        self.resources: list[Mapping[str, str]] = []

    async def take(self, request: web.Request) -> web.Response:
        found = ExportTraceServiceRequest.FromString(await request.read())
        for resource in found.resource_spans:
            said = {one.key: one.value.string_value for one in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.spans += scope.spans
                self.resources += [said] * len(scope.spans)
        answer = ExportTraceServiceResponse().SerializeToString()
        return web.Response(body=answer, content_type="application/x-protobuf")

    def named(self, name: str) -> list[Any]:
        return [span for span in self.spans if span.name == name]


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    application = web.Application()
    application.router.add_post("/v1/traces", receiver.take)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", receiver.port).start()
    try:
        yield receiver
    finally:
        await runner.cleanup()


async def stop(worker: Worker) -> None:
    """Tell a worker to stop, and wait until it has; it sends what is left of its spans then."""
    worker.process.send_signal(signal.SIGTERM)
    await worker.end()


async def test_a_receiver_gets_the_traces_of_a_worker(broker_url: str, tmp_path: Path) -> None:
    async with receiving() as receiver, opened(broker_url, tmp_path) as scene:
        worker = scene.start(
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{receiver.port}",
            OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=test",
            OTEL_BSP_SCHEDULE_DELAY="200",
            PELTON_TRACING_SPANS="events",
        )
        await scene.order("one", "two")
        await scene.until_done("one", "two")
        await _until(worker, lambda: receiver.named("commit"))
        await stop(worker)
        events = receiver.named(f"process {scene.run}-orders")
        created = receiver.named(f"create {scene.run}-done")
        (sent,) = receiver.named(f"send {scene.run}-done")[:1]
        assert len(events) == len(created) == 2
        assert [span.parent_span_id for span in created] == [span.span_id for span in events]
        assert [span.trace_id for span in created] == [span.trace_id for span in events]
        assert sent.links[0].span_id == created[0].span_id
        assert sent.parent_span_id in {span.span_id for span in receiver.named("commit")}
        attributes = {one.key: one.value.string_value or one.value.int_value for one in events[1].attributes}
        assert attributes["messaging.system"] == ("kafka" if broker_url.startswith("kafka") else "sqlite")
        assert attributes["messaging.kafka.offset"] == 1
        (resource,) = {tuple(sorted(one.items())) for one in receiver.resources}
        said = dict(resource)
        assert said["service.name"] == scene.run
        assert said["service.instance.id"]
        assert said["deployment.environment.name"] == "test"


async def _until(worker: Worker, condition: Any) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            assert worker.process.poll() is None, worker.output()
            await asyncio.sleep(0.02)
