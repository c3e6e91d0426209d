"""Whether traces are wanted, by our settings and by OpenTelemetry's own variables. It imports nothing of OpenTelemetry.

A library that nobody asked for must not cost the start of a worker 100 ms and a thread, so what needs it is imported
here, once somebody has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from pelton.config import EngineConfig
from pelton.errors import ConfigurationError

if TYPE_CHECKING:
    from pelton.tracing.tracer import Tracer

__all__ = ["Sampling", "sampling_of", "start_tracing", "wanted"]

_ASKING = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL = "http/protobuf"
_SAMPLERS = {"always_on": 1.0, "always_off": 0.0, "traceidratio": None}


@dataclass(frozen=True, slots=True)
class Sampling:
    """What is traced.

    ratio: the share of traces that begin here and are kept, 0 to 1; one that begins elsewhere is, when it says so.
    events: whether each event of a kept trace has a span.
    """

    ratio: float
    events: bool


def wanted(config: EngineConfig, env: Mapping[str, str]) -> bool:
    """Return whether traces are to be sent. env: usually os.environ."""
    if config.tracing != "env":
        return config.tracing == "otlp"
    exporters = [one.strip() for one in env.get("OTEL_TRACES_EXPORTER", "").split(",") if one.strip()]
    if env.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or "none" in exporters:
        return False
    return "otlp" in exporters or (not exporters and any(env.get(name) for name in _ASKING))


def sampling_of(config: EngineConfig, env: Mapping[str, str]) -> Sampling:
    """Return what OTEL_TRACES_SAMPLER and OTEL_TRACES_SAMPLER_ARG ask for; everything when they are not set.

    A trace is kept whole or not at all, so the names without `parentbased_` mean the same as those with it.
    Raises: ConfigurationError.
    """
    given = env.get("OTEL_TRACES_SAMPLER", "").strip() or "parentbased_always_on"
    name = given.removeprefix("parentbased_")
    if name not in _SAMPLERS:
        raise ConfigurationError(
            f"OTEL_TRACES_SAMPLER: expected one of {', '.join(_SAMPLERS)}, or parentbased_ before it; got {given!r}",
            hint="parentbased_traceidratio with OTEL_TRACES_SAMPLER_ARG=0.01 keeps one trace of a hundred",
        )
    ratio = _SAMPLERS[name]
    return Sampling(_ratio(env) if ratio is None else ratio, config.tracing_spans == "events")


def _ratio(env: Mapping[str, str]) -> float:
    text = env.get("OTEL_TRACES_SAMPLER_ARG", "").strip() or "1"
    try:
        ratio = float(text)
    except ValueError:
        ratio = -1.0
    if not 0.0 <= ratio <= 1.0:
        raise ConfigurationError(
            f"OTEL_TRACES_SAMPLER_ARG: expected a share from 0 to 1, got {text!r}",
            hint="0.01 keeps one trace of a hundred",
        )
    return ratio


def start_tracing(
    config: EngineConfig, env: Mapping[str, str], app_id: str, instance: str, system: str
) -> Tracer | None:
    """Return where spans go, None when nobody wants any.

    instance: this worker's name among those of the application. system: what the log is, "kafka" or "sqlite".
    Raises: ConfigurationError when what was asked for is not installed, or cannot be done.
    """
    if not wanted(config, env):
        return None
    protocol = next((env[name] for name in _PROTOCOLS if env.get(name)), _PROTOCOL)
    if protocol != _PROTOCOL:
        raise ConfigurationError(
            f"{_PROTOCOLS[1]}: expected {_PROTOCOL}, got {protocol!r}",
            hint="a collector takes it on port 4318: OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318",
        )
    sampling = sampling_of(config, env)
    try:
        tracer = import_module("pelton.tracing.tracer")
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("opentelemetry"):
            raise
        raise ConfigurationError(
            f"traces are asked for, and {error.name} is not installed",
            hint="pip install 'pelton[tracing]', or set PELTON_TRACING=off",
        ) from error
    started: Tracer = tracer.otlp_tracer(sampling, app_id, instance, system)
    return started
