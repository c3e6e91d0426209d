"""The engine's own settings, declared once: name, unit, default, range and help.

The declaration yields the environment variable, the validation and the page docs/settings.md. Faust's settings stay
Faust's; a setting belongs here only if a measurement shows that no one value serves everybody.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from datetime import timedelta
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, Literal, Protocol, cast

from pelton.errors import ConfigurationError

__all__ = [
    "SETTINGS",
    "Choice",
    "EngineConfig",
    "LogFormat",
    "LostRecords",
    "Number",
    "Setting",
    "TracedSpans",
    "TracesTo",
    "load",
    "reference_markdown",
    "unknown_setting",
]

KIB = 1024
MIB = 1024 * KIB
#: What to do about records that are gone from the log before they were read.
LostRecords = Literal["fail", "earliest", "latest"]
#: Whether traces are kept.
TracesTo = Literal["env", "off", "otlp"]
#: What has a span.
TracedSpans = Literal["batches", "events"]
#: How log lines are written.
LogFormat = Literal["text", "json"]
_ENV_PREFIX = "PELTON_"
#: How alike a variable and a setting are (0 to 1) before one is taken for the other, misspelt.
_MISSPELT = 0.8
_SIZES = {"KiB": KIB, "MiB": MIB, "GiB": 1024 * MIB}


class Setting(Protocol):
    """One setting as declared: `Number` or `Choice`."""

    @property
    def name(self) -> str:
        """Its name, which is a field of EngineConfig."""
        ...

    @property
    def env(self) -> str:
        """The environment variable that sets it."""
        ...

    @property
    def default(self) -> int | str:
        """What it is when nobody sets it."""
        ...

    @property
    def help(self) -> str:
        """What it does, in whole sentences."""
        ...

    def parse(self, given: object) -> int | str:
        """Return the value of what was given. Raises: ConfigurationError."""
        ...

    def facts(self) -> Sequence[str]:
        """Return what the page tells of it, beside the help: an entry a line."""
        ...


@dataclass(frozen=True, slots=True)
class Number:
    """A whole number of some unit.

    minimum, maximum: both allowed; maximum is None where there is no bound.
    """

    name: str
    unit: str
    default: int
    minimum: int
    maximum: int | None
    help: str

    @property
    def env(self) -> str:
        """The environment variable that sets it."""
        return _variable(self.name)

    @property
    def range(self) -> str:
        """What it may be, in words."""
        return f"at least {self.minimum:,}" if self.maximum is None else f"from {self.minimum:,} to {self.maximum:,}"

    def parse(self, given: object) -> int:
        """Return the value of what was given: a number, its text, a size such as "64 MiB", or a timedelta.

        Raises: ConfigurationError.
        """
        value = self._number(given)
        if value is None or value < self.minimum or (self.maximum is not None and value > self.maximum):
            raise ConfigurationError(
                f"setting {self.name}: expected a whole number of {self.unit}, {self.range}; got {given!r}",
                hint=f"the environment variable {self.env} sets it; its default is {self.default:,}",
            )
        return value

    def _number(self, given: object) -> int | None:
        if isinstance(given, timedelta) and self.unit == "milliseconds":
            return given // timedelta(milliseconds=1)
        if isinstance(given, str):
            return self._number_in(given.strip())
        return given if isinstance(given, int) and not isinstance(given, bool) else None

    def _number_in(self, text: str) -> int | None:
        unit = next((name for name in _SIZES if text.endswith(name)), "") if self.unit == "bytes" else ""
        digits = text.removesuffix(unit).strip()
        return int(digits) * _SIZES.get(unit, 1) if re.fullmatch(r"-?\d+", digits, re.ASCII) else None

    def facts(self) -> Sequence[str]:
        """Return its unit, default and range."""
        size = f" ({self.default // MIB} MiB)" if self.unit == "bytes" else ""
        return [f"unit: {self.unit}", f"default: {self.default:,}{size}", f"range: {self.range}"]


@dataclass(frozen=True, slots=True)
class Choice:
    """One word of several."""

    name: str
    default: str
    choices: tuple[str, ...]
    help: str

    @property
    def env(self) -> str:
        """The environment variable that sets it."""
        return _variable(self.name)

    def parse(self, given: object) -> str:
        """Return the word that was given. Raises: ConfigurationError."""
        word = given.strip() if isinstance(given, str) else given
        if not isinstance(word, str) or word not in self.choices:
            raise ConfigurationError(
                f"setting {self.name}: expected one of {', '.join(self.choices)}; got {given!r}",
                hint=f"the environment variable {self.env} sets it; its default is {self.default}",
            )
        return word

    def facts(self) -> Sequence[str]:
        """Return its default and the words."""
        return [f"default: {self.default}", f"one of: {', '.join(self.choices)}"]


def _variable(name: str) -> str:
    return f"{_ENV_PREFIX}{name.upper()}"


def _setting(default: int, unit: str, help_: str, *, minimum: int, maximum: int | None = None) -> Any:
    """Declare one field of EngineConfig; the rest of the Number follows from the field itself."""
    return field(default=default, metadata={"unit": unit, "help": help_, "minimum": minimum, "maximum": maximum})


def _choice(default: str, help_: str, *others: str) -> Any:
    """Declare one field of EngineConfig that is one word of several; the first of them is the default."""
    return field(default=default, metadata={"choices": (default, *others), "help": help_})


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """How the engine runs; every field is described in docs/settings.md.

    Raises: ConfigurationError when a value is not what its setting allows.
    """

    commit_interval_ms: int = _setting(
        1_000,
        "milliseconds",
        "The longest that finished work waits for its commit. An idle worker commits at once. Longer makes "
        "transactions larger and cheaper, and results later.",
        minimum=1,
        maximum=60_000,
    )
    commit_records_max: int = _setting(
        200_000, "records", "A commit starts when so many records are processed, even before its time.", minimum=1
    )
    commit_bytes_max: int = _setting(
        32 * MIB,
        "bytes",
        "A commit starts when the staged changelog and output records take so much, even before its time; while it is "
        "under way, agents stage as much again and then wait. After one that took 5 s or longer, the next holds less, "
        "until they are quick.",
        minimum=64 * KIB,
    )
    fetch_bytes_max: int = _setting(16 * MIB, "bytes", "About the most that one fetch returns.", minimum=64 * KIB)
    task_queue_bytes_max: int = _setting(
        64 * MIB,
        "bytes",
        "What may wait in front of the agents of a worker; it is shared out over the partitions of all topics, and one "
        "whose share is full is not fetched for a while. It also bounds how far several agents on one topic drift "
        "apart.",
        minimum=64 * KIB,
    )
    table_cache_bytes_max: int = _setting(
        256 * MIB,
        "bytes",
        "What the caches of all tables of a worker may hold, besides writes that await their commit.",
        minimum=MIB,
    )
    agent_retries_max: int = _setting(
        3, "retries", "How often an event is tried again when its agent raises, before it is dead-lettered.", minimum=0
    )
    agent_retry_backoff_ms: int = _setting(
        100,
        "milliseconds",
        "The pause before the first retry; it doubles with each further one.",
        minimum=0,
        maximum=60_000,
    )
    restore_bytes_max: int = _setting(
        4 * MIB,
        "bytes",
        "About the most of a changelog that restore reads, and writes to the store, in one step.",
        minimum=64 * KIB,
    )
    changelog_delete_retention_ms: int = _setting(
        24 * 60 * 60 * 1000,
        "milliseconds",
        "How long the changelogs of tables, windows, timers and calls say that a key is gone: `delete.retention.ms` "
        "of their topics, unless `extra_topic_configs` of a table says otherwise. Where keys come and go all the time, "
        "most of a changelog is that. A store that was away for longer is filled anew.",
        minimum=60_000,
    )
    record_bytes_max: int = _setting(
        16 * MIB,
        "bytes",
        "The largest message that may be sent, key and value together. The event that sends a larger one fails, and is "
        "dead-lettered. So does one that sends, or writes to a table, more than the topic or changelog takes: its "
        "`max.message.bytes`, less some 100 bytes, counts key, value and headers before any compression.",
        minimum=KIB,
        maximum=1024 * MIB,
    )
    web_body_bytes_max: int = _setting(
        1 * MIB, "bytes", "The largest body that the web server takes; a larger one is answered with 413.", minimum=KIB
    )
    slice_ms: int = _setting(
        20,
        "milliseconds",
        "How long one task may run before timers, web requests and heartbeats get their turn.",
        minimum=1,
        maximum=1_000,
    )
    shutdown_timeout_ms: int = _setting(
        4_000,
        "milliseconds",
        "How long a worker that is told to stop waits for unfinished events.",
        minimum=0,
        maximum=600_000,
    )
    watchdog_warn_ms: int = _setting(
        15_000,
        "milliseconds",
        "How long the event loop, the fetch, a partition with lag, or the commit may stand still before the log and "
        "`/livez` tell of it.",
        minimum=100,
    )
    watchdog_exit_ms: int = _setting(
        120_000,
        "milliseconds",
        "How long before the process ends with status 75, so that its supervisor starts it again; 0 means never. A log "
        "that does not answer is no reason to end, nor is an agent that awaits something.",
        minimum=0,
    )
    on_lost_records: LostRecords = _choice(  # noqa: RUF009 - it makes a field
        "fail",
        "What to do when the log has deleted records, by its retention, before the group read them. `fail` ends the "
        "worker and says how many are gone; `earliest` says so and goes on with the first record that is left, "
        "`latest` with those that come from now on.",
        "earliest",
        "latest",
    )
    logging: LogFormat = _choice(  # noqa: RUF009 - it makes a field
        "text",
        "How a worker writes its log: `text` for people, `json` for what collects the logs of many, an object a line "
        "with topic, partition, offset and task. `faust -A app worker --logging json` does the same.",
        "json",
    )

    tracing: TracesTo = _choice(  # noqa: RUF009 - it makes a field
        "env",
        "Whether a worker sends OpenTelemetry traces (docs/tracing.md). `otlp` sends them by OTLP over HTTP, to "
        "where OpenTelemetry's own variables say; `env` does so when one of those asks for it: "
        "`OTEL_TRACES_EXPORTER=otlp`, `OTEL_EXPORTER_OTLP_ENDPOINT` or "
        "`OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, unless `OTEL_SDK_DISABLED=true`. "
        "It needs `pip install 'pelton[tracing]'`, and costs nothing while it is off.",
        "off",
        "otlp",
    )
    tracing_spans: TracedSpans = _choice(  # noqa: RUF009 - it makes a field
        "batches",
        "What has a span: each slice of events that an agent handles, with links to the traces of its records "
        "(`batches`), or also each event whose trace is sampled (`events`), which is then handled by itself and costs "
        "many times what one in a slice does; `OTEL_TRACES_SAMPLER_ARG` says how many are.",
        "events",
    )

    def __post_init__(self) -> None:
        for setting in SETTINGS:
            object.__setattr__(self, setting.name, setting.parse(getattr(self, setting.name)))


def _declared(entry: Field[Any]) -> Setting:
    kind = Choice if "choices" in entry.metadata else Number
    return cast("Setting", kind(name=entry.name, default=cast("Any", entry.default), **entry.metadata))


#: Every setting, in the order of the page.
SETTINGS: tuple[Setting, ...] = tuple(_declared(entry) for entry in fields(EngineConfig))


def load(env: Mapping[str, str], overrides: Mapping[str, object] = MappingProxyType({})) -> EngineConfig:
    """Return the configuration: defaults, then the program's overrides, then the environment.

    The environment wins, as with Faust's own settings, so that an operator can change what a program chose.
    env: usually os.environ; variables named PELTON_<SETTING>. One that is nearly the name of a setting is refused;
        others are left alone, for not every PELTON_… is meant for us (Kubernetes sets some for a service of that name).
    overrides: setting -> value.
    Raises: ConfigurationError naming the setting, what was expected, and what was found.
    """
    names = {setting.name for setting in SETTINGS}
    for name in overrides:
        if name not in names:
            raise unknown_setting(name, names)
    for variable in env:
        name = variable.removeprefix(_ENV_PREFIX).lower()
        if variable.startswith(_ENV_PREFIX) and name not in names and get_close_matches(name, names, 1, _MISSPELT):
            raise unknown_setting(variable, {setting.env for setting in SETTINGS})
    given = {setting.name: env[setting.env] for setting in SETTINGS if setting.env in env}
    values: dict[str, Any] = {**overrides, **given}
    return EngineConfig(**values)


def unknown_setting(name: str, known: Collection[str]) -> ConfigurationError:
    """Return the error that says so, with the nearest of the names there are."""
    close = get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(sorted(known))}"
    return ConfigurationError(f"unknown setting {name!r}", hint=hint)


_GUARD_HELP = """\
A secret, at least 16 characters, that every request to the web server must bring, as `Authorization: Bearer …` or as
the cookie `pelton_token`; people bring it once, at `/sign-in`. Only that, `/livez` and `/readyz` stay open, and what is
changed by a cookie needs the session's CSRF token, which the pages send as `X-CSRF-Token`. Without a token the server
listens on 127.0.0.1 only, and refuses to start with another `WEB_BIND`. All workers of an application have the same
one. It is never shown.

- environment: `PELTON_WEB_TOKEN`
- default: none"""

_BROKER_HELP = """\
Who a worker is to Kafka. They win over `broker_credentials=faust.SASLCredentials(...)` of the program. What does not
fit the protocol is refused, and none of it is ever shown.

| variable | meaning |
|---|---|
| `PELTON_BROKER_PROTOCOL` | `PLAINTEXT` (when not said), `SSL`, `SASL_PLAINTEXT` or `SASL_SSL` |
| `PELTON_BROKER_MECHANISM` | `SCRAM-SHA-512` (when not said), `SCRAM-SHA-256` or `PLAIN` |
| `PELTON_BROKER_USERNAME`, `PELTON_BROKER_PASSWORD` | the user, for the protocols with SASL |
| `PELTON_BROKER_CA_FILE` | the CA that signed the brokers' certificates, as PEM; the machine's own when not said |
| `PELTON_BROKER_CERTIFICATE_FILE`, `PELTON_BROKER_KEY_FILE` | the client's certificate and key, where brokers ask |"""


def reference_markdown() -> str:
    """Return the page docs/settings.md."""
    lines = [
        "# Settings",
        "",
        "The engine's own settings; Faust's settings (`BROKER_URL`, `APP_DATADIR`, `WEB_PORT`, …) work beside them and",
        "are described in Faust's documentation. They are set in the environment, which wins, or by the program:",
        '`pelton.App("bank", commit_interval_ms=500)`. Sizes may be written as `64 MiB`.',
        "",
        "This page is made by `python -m pelton.config`.",
        "",
    ]
    for setting in SETTINGS:
        facts = [f"environment: `{setting.env}`", *setting.facts()]
        lines += [f"## {setting.name}", "", setting.help, "", *(f"- {fact}" for fact in facts), ""]
    lines += ["## web_token", "", _GUARD_HELP, "", "## Kafka with TLS and passwords", "", _BROKER_HELP, ""]
    return "\n".join(lines)


if __name__ == "__main__":
    print(reference_markdown(), end="")
