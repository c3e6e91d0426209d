"""A real kube-apiserver on an etcd of its own, with neither nodes nor controllers: it judges what it is sent.

It is not packaged anywhere, so whoever wants it builds it, and says where it is: KUBE_APISERVER (deploy/README.md).
"""

from __future__ import annotations

import json
import os
import secrets
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest
import yaml

from pelton.testing.broker import free_ports
from tests.patience import PATIENCE_S
from tests.servers import Server, needed

__all__ = ["ApiServer", "Reply", "api_server"]


@dataclass(frozen=True)
class Reply:
    """What the server said. warnings: what it took all the same, and finds fault with."""

    status: int
    told: Any
    warnings: list[str]


class ApiServer:
    """The server, asked as its administrator. kubeconfig: for helm."""

    def __init__(self, directory: Path, port: int, token: str) -> None:
        self.kubeconfig = directory / "kubeconfig"
        self._address = f"https://127.0.0.1:{port}"
        self._authority = directory / "certs" / "apiserver.crt"
        self._token = token

    def ask(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> Reply:
        """Send a request; body: an object, as JSON, whichever kind of patch it is."""
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": kind}
        data = json.dumps(body).encode() if body is not None else None
        request = Request(self._address + path, data, headers, method=method)
        context = ssl.create_default_context(cafile=str(self._authority))
        try:
            answer = urlopen(request, timeout=60, context=context)
        except HTTPError as refusal:
            answer = refusal
        with answer:
            told = answer.read()
            warnings = answer.headers.get_all("Warning") or []
            as_json = "json" in answer.headers.get("Content-Type", "")
            return Reply(answer.status, json.loads(told) if as_json else told.decode(), warnings)

    def until_ready(self) -> None:
        """Wait until it serves, and write down for helm how to reach it."""
        deadline = time.monotonic() + PATIENCE_S
        while not self._is_ready():
            assert time.monotonic() < deadline, "the server did not come up"
            time.sleep(0.2)
        cluster = {"server": self._address, "certificate-authority": str(self._authority)}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "it",
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "admin"}}],
            "clusters": [{"name": "it", "cluster": cluster}],
            "users": [{"name": "admin", "user": {"token": self._token}}],
        }
        self.kubeconfig.write_text(yaml.safe_dump(config))
        self.kubeconfig.chmod(0o600)

    def until_served(self, path: str) -> None:
        """Wait until it serves a type of somebody else's, whose definition is at a path."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            conditions = self.ask("GET", path).told["status"]["conditions"] or ()  # null at first
            if ("Established", "True") in [(each["type"], each["status"]) for each in conditions]:
                return
            assert time.monotonic() < deadline, conditions
            time.sleep(0.1)

    def _is_ready(self) -> bool:
        try:
            return self._authority.exists() and self.ask("GET", "/readyz").status == 200
        except (URLError, ConnectionError):
            return False


@contextmanager
def api_server(directory: Path) -> Iterator[ApiServer]:
    """Run it; without KUBE_APISERVER the test is skipped."""
    program = os.environ.get("KUBE_APISERVER")
    if not program:
        pytest.skip("KUBE_APISERVER names no program: deploy/README.md says how to build it")
    etcd_port, peer_port, port = free_ports(3)
    store, peer = f"http://127.0.0.1:{etcd_port}", f"http://127.0.0.1:{peer_port}"
    token = secrets.token_urlsafe(24)
    (directory / "tokens.csv").write_text(f"{token},admin,admin,system:masters\n")
    key = directory / "key.pem"
    subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
    words = [
        needed("etcd", "etcd-server"), "--data-dir", str(directory / "etcd"), "--unsafe-no-fsync",
        "--listen-client-urls", store, "--advertise-client-urls", store,
        "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}",
    ]  # fmt: skip
    etcd = Server(words, _made(directory / "of-etcd"), etcd_port)
    words = [
        program, "--etcd-servers", store, "--bind-address", "127.0.0.1", "--secure-port", str(port),
        "--cert-dir", str(directory / "certs"), "--token-auth-file", str(directory / "tokens.csv"),
        "--authorization-mode", "AlwaysAllow", "--anonymous-auth=false", "--service-cluster-ip-range", "10.0.0.0/24",
        "--service-account-issuer", "https://kubernetes.default.svc", "--service-account-key-file", str(key),
        "--service-account-signing-key-file", str(key), "--disable-admission-plugins", "ServiceAccount",
    ]  # fmt: skip
    server = Server(words, _made(directory / "of-server"), port)
    etcd.start()
    try:
        server.start()
        try:
            api = ApiServer(directory, port, token)
            api.until_ready()
            yield api
        finally:
            server.stop()
    finally:
        etcd.stop()


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory
