"""What each process of a deployment finds in its environment: what a chart gives a pod, and the token of the pages."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path

from pelton.shell.guard import TOKEN_VARIABLE

__all__ = ["TOKEN_FILE", "web_token", "worker_environment"]

#: Where the token is kept, under the directory of the deployment.
TOKEN_FILE = "web-token"  # noqa: S105 - the name of the file


def web_token(directory: Path, given: Mapping[str, str]) -> str:
    """Return what every request to a worker's page must bring, and keep it in a file that only its owner may read.

    given: the environment, which may have one; else it is the one of last time, or a new one.
    """
    file = directory / TOKEN_FILE
    token = given.get(TOKEN_VARIABLE) or (file.read_text() if file.exists() else secrets.token_urlsafe(32))
    file.touch(mode=0o600)
    file.write_text(token)
    return token


def worker_environment(
    settings: Mapping[str, str], common: Mapping[str, str], name: str, directory: Path, port: int
) -> dict[str, str]:
    """Return what the chart gives a worker, for one of this machine.

    settings: of all workers. common: of all processes, such as where the brokers are, and the token. name: of the
    worker in the group, which lasts. directory: its data. port: of its page.
    """
    return {
        **common,
        **settings,
        "CONSUMER_GROUP_INSTANCE_ID": name,
        "WEB_HOST": "127.0.0.1",
        "WEB_PORT": str(port),
        "APP_DATADIR": str(directory),
    }
