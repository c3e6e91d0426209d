"""The engine's own settings, declared once: name, unit, default, range and help.

The declaration yields the environment variable, the validation and the page docs/settings.md. Faust's settings stay
Faust's; a setting belongs here only if a measurement shows that no one value serves everybody.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from datetime import timedelta
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, cast

from pelton.errors import ConfigurationError

__all__ = ["SETTINGS", "EngineConfig", "Setting", "load", "reference_markdown"]

KIB = 1024
MIB = 1024 * KIB
_SIZES = {"KiB": KIB, "MiB": MIB, "GiB": 1024 * MIB}


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting as declared: a whole number of some unit.

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
        return f"PELTON_{self.name.upper()}"

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


def _setting(default: int, unit: str, help_: str, *, minimum: int, maximum: int | None = None) -> Any:
    """Declare one field of EngineConfig; the rest of the Setting follows from the field itself."""
    return field(default=default, metadata={"unit": unit, "help": help_, "minimum": minimum, "maximum": maximum})


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """How the engine runs; every field is described in docs/settings.md.

    Raises: ConfigurationError when a value is not a whole number, or out of its range.
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
        "A commit starts when the staged changelog and output records take so much, even before its time.",
        minimum=64 * KIB,
    )
    fetch_bytes_max: int = _setting(16 * MIB, "bytes", "About the most that one fetch returns.", minimum=64 * KIB)
    task_queue_bytes_max: int = _setting(
        64 * MIB,
        "bytes",
        "What may wait in front of the agents of one partition before its fetching pauses. It also bounds how far "
        "several agents on one topic drift apart.",
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

    def __post_init__(self) -> None:
        for setting in SETTINGS:
            object.__setattr__(self, setting.name, setting.parse(getattr(self, setting.name)))


def _declared(entry: Field[Any]) -> Setting:
    return Setting(name=entry.name, default=cast("int", entry.default), **entry.metadata)


#: Every setting, in the order of the page.
SETTINGS: tuple[Setting, ...] = tuple(_declared(entry) for entry in fields(EngineConfig))


def load(env: Mapping[str, str], overrides: Mapping[str, object] = MappingProxyType({})) -> EngineConfig:
    """Return the configuration: defaults, then the program's overrides, then the environment.

    The environment wins, as with Faust's own settings, so that an operator can change what a program chose.
    env: usually os.environ; variables named PELTON_<SETTING>.
    overrides: setting -> value.
    Raises: ConfigurationError naming the setting, what was expected, and what was found.
    """
    names = {setting.name for setting in SETTINGS}
    for name in overrides:
        if name not in names:
            close = get_close_matches(name, names, n=1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(sorted(names))}"
            raise ConfigurationError(f"unknown setting {name!r}", hint=hint)
    given = {setting.name: env[setting.env] for setting in SETTINGS if setting.env in env}
    values: dict[str, Any] = {**overrides, **given}
    return EngineConfig(**values)


def reference_markdown() -> str:
    """Return the page docs/settings.md."""
    lines = [
        "# Settings",
        "",
        "The engine's own settings; Faust's settings (`BROKER_URL`, `APP_DATADIR`, `WEB_PORT`, …) work beside them and",
        "are described in Faust's documentation. They are set in the environment, which wins, or by",
        "the program (`pelton.config.load`). Sizes may be written as `64 MiB`.",
        "",
        "This page is made by `python -m pelton.config`.",
        "",
    ]
    for setting in SETTINGS:
        lines += [f"## {setting.name}", "", setting.help, "", *_facts(setting), ""]
    return "\n".join(lines)


def _facts(setting: Setting) -> list[str]:
    size = f" ({setting.default // MIB} MiB)" if setting.unit == "bytes" else ""
    return [
        f"- environment: `{setting.env}`",
        f"- unit: {setting.unit}",
        f"- default: {setting.default:,}{size}",
        f"- range: {setting.range}",
    ]


if __name__ == "__main__":
    print(reference_markdown(), end="")
