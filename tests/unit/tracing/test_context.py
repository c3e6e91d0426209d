"""Contexts in headers, ids that are the same each time, and what is asked for."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from opentelemetry.sdk.trace.sampling import Decision, TraceIdRatioBased

from pelton.batch import RecordBatch
from pelton.config import EngineConfig
from pelton.errors import ConfigurationError
from pelton.tracing.choice import sampling_of, start_tracing, wanted
from pelton.tracing.context import TraceContext, headers_of, parse, read, root_trace_id, roots_below, sampled

_GOOD = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_what_is_written_is_read() -> None:
    context = TraceContext(1, 2, sampled=True)
    assert read(headers_of(context, b"a=b")) == context
    assert read((("traceparent", _GOOD), ("traceparent", b"none"))) is None  # of several, the last


@pytest.mark.parametrize(
    "data",
    [
        None,
        b"",
        _GOOD.upper(),
        _GOOD[:-1],
        _GOOD + b"-more",
        b"ff" + _GOOD[2:],
        _GOOD.replace(b"0af7651916cd43dd8448eb211c80319c", b"0" * 32),
        _GOOD.replace(b"b7ad6b7169203331", b"0" * 16),
    ],
)
def test_what_is_no_context(data: bytes | None) -> None:
    assert parse(data) is None


def test_a_later_version_may_say_more() -> None:
    assert parse(b"01" + _GOOD[2:] + b"-more") == parse(_GOOD)


def test_contexts_that_are_kept_once_each_and_no_more_than_asked() -> None:
    records = [headers_of(TraceContext(trace, 1, sampled=trace % 2 == 0)) for trace in (1, 2, 2, 4, 6)]
    assert [one.trace_id for one in sampled(records, 2)] == [2, 4]


@pytest.mark.parametrize("ratio", [0.0, 0.01, 0.5, 1.0])
def test_which_records_begin_a_kept_trace_is_what_the_library_decides(ratio: float) -> None:
    offsets = [3, 4, 2**40, *range(2**62, 2**62 + 4_000)]
    batch = RecordBatch("orders", 3, offsets, [0] * len(offsets), [None] * len(offsets), [None] * len(offsets), 0)
    sampler = TraceIdRatioBased(ratio)
    ids = [root_trace_id(batch, row) for row in range(len(batch))]
    kept = [
        row
        for row, trace_id in enumerate(ids)
        if sampler.should_sample(None, trace_id, "").decision is Decision.RECORD_AND_SAMPLE
    ]
    assert list(roots_below(batch, TraceIdRatioBased.get_bound_for_rate(ratio))) == kept
    assert abs(len(kept) / len(batch) - ratio) < 0.05
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    ("setting", "env", "expected"),
    [
        ("env", {}, False),
        ("env", {"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ("env", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, True),
        ("env", {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, True),
        ("env", {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, False),
        ("env", {"OTEL_TRACES_EXPORTER": "console", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, False),
        ("env", {"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "otlp"}, False),
        ("off", {"OTEL_TRACES_EXPORTER": "otlp"}, False),
        ("otlp", {}, True),
    ],
)
def test_when_traces_are_wanted(setting: str, env: dict[str, str], expected: bool) -> None:
    assert wanted(EngineConfig(tracing=setting), env) is expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("env", "text"),
    [
        ({"OTEL_TRACES_SAMPLER": "jaeger_remote"}, "OTEL_TRACES_SAMPLER: expected one of always_on"),
        ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "2"}, "from 0 to 1, got '2'"),
        ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "few"}, "from 0 to 1, got 'few'"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "expected http/protobuf, got 'grpc'"),
    ],
)
def test_what_cannot_be_had_is_refused(env: dict[str, str], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        start_tracing(EngineConfig(tracing="otlp"), env, "app", "worker", "kafka")


def test_how_much_is_kept() -> None:
    assert sampling_of(EngineConfig(), {}).ratio == 1.0
    assert sampling_of(EngineConfig(), {"OTEL_TRACES_SAMPLER": "always_off"}).ratio == 0.0
    quarter = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25"}
    assert sampling_of(EngineConfig(tracing_spans="events"), quarter).ratio == 0.25


_LOADED = """
import sys
import pelton, pelton.shell.engine, pelton.shell.worker
from pelton.tracing.choice import start_tracing
tracer = start_tracing(pelton.App("one").config, {}, "one", "worker", "sqlite")
print(tracer is not None, any(name.partition(".")[0] == "opentelemetry" for name in sys.modules))
"""


@pytest.mark.parametrize(("setting", "said"), [("off", "False False"), ("env", "False False"), ("otlp", "True True")])
def test_nothing_of_opentelemetry_is_loaded_while_it_is_off(setting: str, said: str) -> None:
    environment = {"PATH": os.environ["PATH"], "PELTON_TRACING": setting}
    command = [sys.executable, "-c", _LOADED]
    assert subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip() == said
