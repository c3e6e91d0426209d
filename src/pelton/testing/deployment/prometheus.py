"""A Prometheus over the workers of a deployment, with the configuration and the alerts that are deployed."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from pelton.errors import ConfigurationError

__all__ = ["prometheus_command", "with_targets"]

_TOKEN = re.compile(r"# (authorization: )\{credentials_file: \S+\}")
_TARGETS = re.compile(r"(job_name: (\w+)\n(?:.*\n)*?.*targets: )\[[^\]]*\]")
_ALERTMANAGER = re.compile(r"alerting:\n(?:[ ].*\n)+")


def with_targets(config: str, pages: Sequence[str], token: Path) -> str:
    """Return Prometheus' configuration for these pages of workers: no exporters in brokers, no alert manager.

    token: the file with what the pages want of whoever asks.
    Raises: ConfigurationError when the configuration has no job for workers, or does not say how it brings a token.
    """
    jobs = {"pelton": list(pages)}
    text, count = _TARGETS.subn(lambda job: job[1] + json.dumps(jobs.get(job[2], [])), config)
    if not count or (pages and json.dumps(list(pages)) not in text):
        raise ConfigurationError("Prometheus' configuration has no job named pelton with targets")
    text, count = _TOKEN.subn(lambda line: line[1] + json.dumps({"credentials_file": str(token)}), text)
    if count != 1:
        raise ConfigurationError(f"Prometheus' configuration names {count} files with a token, expected one")
    return _ALERTMANAGER.sub("", text)


def prometheus_command(
    monitoring: Path, directory: Path, pages: Sequence[str], token: Path, port: int
) -> list[str] | None:
    """Write the configuration into a directory, and return how to start Prometheus there; None without the program."""
    program = shutil.which("prometheus")
    if program is None:
        return None
    directory.mkdir(parents=True, exist_ok=True)
    config = (monitoring / "prometheus.yml").read_text()
    (directory / "prometheus.yml").write_text(with_targets(config, pages, token))
    shutil.copy(monitoring / "alerts.yml", directory)
    return [
        program,
        f"--config.file={directory / 'prometheus.yml'}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
