"""Kafka with TLS and SASL, on a real broker: who is let in, what is said to the others, and that no secret is told."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import faust
import pytest
from yarl import URL

from pelton.batch import OutgoingBatch, TopicPartition
from pelton.clock import SystemClock
from pelton.errors import ConfigurationError, UnavailableError
from pelton.log.contract import Log, TopicSpec
from pelton.shell.connection import log_for
from pelton.testing.broker import Cluster, SecureListener, free_ports
from tests.integration.certificates import Authority
from tests.patience import PATIENCE_S

ROOT = Path(__file__).parents[2]
PASSWORD = f"secret-{uuid4().hex}"
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


@dataclass(frozen=True)
class Secured:
    """A broker's addresses, and the authority that signed its certificates."""

    good: str
    expired: str
    plain: str
    authority: Authority

    def log(self, address: str, *, authority: Authority | None = None, **credentials: Any) -> Log:
        context = ssl.create_default_context(cadata=(authority or self.authority).pem)
        options = {"username": "alice", "password": PASSWORD, "mechanism": "PLAIN", "ssl_context": context}
        return log_for(
            [URL(f"kafka://{address}")],
            Path(),
            client_id="test",
            credentials=faust.SASLCredentials(**(options | credentials)),
            ssl_context=None,
            clock=SystemClock(),
        )


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    directory = tmp_path_factory.mktemp("secured")
    authority = Authority("pelton test")
    ports = free_ports(2)
    listeners = [
        SecureListener(ports[0], authority.keystore(directory / "good.pem"), {"alice": PASSWORD}),
        SecureListener(
            ports[1], authority.keystore(directory / "old.pem", valid_for=timedelta(hours=-1)), {"alice": PASSWORD}
        ),
    ]
    with Cluster(directory=directory / "kafka", port=0, quick_start=True, secure=listeners) as cluster:
        good, expired = (listener.address(cluster.nodes[0]) for listener in listeners)
        yield Secured(good, expired, cluster.bootstrap, authority)


async def until_refused(log: Log) -> ConfigurationError | UnavailableError:
    """Return what opening a log raises; that it is raised soon is for the test's timeout."""
    with pytest.raises((ConfigurationError, UnavailableError)) as caught:
        await log.open()
    await log.close()
    assert PASSWORD not in f"{caught.value!s}{caught.value!r}{log!r}"
    return caught.value


@pytest.mark.parametrize("mechanism", MECHANISMS)
async def test_let_in(secured: Secured, mechanism: str) -> None:
    log = secured.log(secured.good, mechanism=mechanism)
    await log.open()
    topic = f"in-{mechanism.lower()}"
    await log.declare([TopicSpec(topic, 1)])
    await log.append([OutgoingBatch(topic, 0, [b"k"], [b"v"], [SystemClock().time_ms()])])
    batch = await log.read(TopicPartition(topic, 0), 0, bytes_max=1 << 20, timeout_s=10)
    assert list(batch.values) == [b"v"]
    assert PASSWORD not in repr(log)
    await log.close()


@pytest.mark.parametrize("mechanism", MECHANISMS)
async def test_a_wrong_password(secured: Secured, mechanism: str) -> None:
    error = await until_refused(secured.log(secured.good, mechanism=mechanism, password="guessed"))
    assert isinstance(error, ConfigurationError)
    assert "refused the user or the password" in str(error)
    assert "guessed" not in str(error)


async def test_an_unknown_authority(secured: Secured) -> None:
    error = await until_refused(secured.log(secured.good, authority=Authority("somebody else")))
    assert isinstance(error, ConfigurationError)
    assert "could not trust Kafka" in str(error)
    assert "cafile" in str(error)


async def test_an_expired_certificate(secured: Secured) -> None:
    error = await until_refused(secured.log(secured.expired))
    assert isinstance(error, ConfigurationError)
    assert "certificate has expired" in str(error)
    assert "renew" in str(error)


async def test_a_name_that_the_certificate_does_not_have(secured: Secured) -> None:
    error = await until_refused(secured.log(secured.good.replace("127.0.0.1", "localhost")))
    assert isinstance(error, ConfigurationError)
    assert "by a name that the certificate has" in str(error)


async def test_tls_where_there_is_none(secured: Secured) -> None:
    error = await until_refused(secured.log(secured.plain))
    assert "do the security settings match" in str(error) or "speak TLS" in str(error)


async def test_no_tls_where_there_is_some(secured: Secured) -> None:
    error = await until_refused(secured.log(secured.good, ssl_context=None))
    assert "do the security settings match" in str(error)


async def test_nothing_listens(secured: Secured) -> None:
    error = await until_refused(secured.log(f"127.0.0.1:{free_ports(1)[0]}"))
    assert "nothing listens there" in str(error)


def environment(secured: Secured, tmp_path: Path, mechanism: str, password: str) -> dict[str, str]:
    authority = tmp_path / "ca.crt"
    authority.write_text(secured.authority.pem)
    return os.environ | {
        "SECURED_APP": f"secured-{uuid4().hex[:8]}",
        "PELTON_BROKER_PROTOCOL": "SASL_SSL",
        "PELTON_BROKER_MECHANISM": mechanism,
        "PELTON_BROKER_USERNAME": "alice",
        "PELTON_BROKER_PASSWORD": password,
        "PELTON_BROKER_CA_FILE": str(authority),
        "BROKER_URL": f"kafka://{secured.good}",
        "APP_DATADIR": str(tmp_path / "data"),
        "APP_WEB_ENABLED": "no",
        "PELTON_AGENT_RETRIES_MAX": "0",
        "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
        "PYTHONASYNCIODEBUG": "1",
    }


PROGRAM = (sys.executable, "-m", "faust", "-A", "tests.integration.secured_program", "--debug", "-l", "debug")


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
def test_a_worker_tells_nobody_its_password(secured: Secured, tmp_path: Path, mechanism: str) -> None:
    """All that a worker prints at DEBUG, with asyncio's debug mode, from start over a dead letter to its end."""
    settings = environment(secured, tmp_path, mechanism, PASSWORD)
    topic = f"{settings['SECURED_APP']}-numbers"
    output = tmp_path / "output.txt"
    with output.open("w") as file:
        worker = subprocess.Popen((*PROGRAM, "worker"), cwd=ROOT, env=settings, stdout=file, stderr=subprocess.STDOUT)
        try:
            for number in ("1", "13", "2"):
                send = (*PROGRAM, "send", topic, number)
                done = subprocess.run(send, cwd=ROOT, env=settings, capture_output=True, timeout=PATIENCE_S, check=True)
                assert PASSWORD.encode() not in done.stdout + done.stderr
            deadline = time.monotonic() + PATIENCE_S
            while "all done" not in output.read_text():
                assert worker.poll() is None, output.read_text()[-3_000:]
                assert time.monotonic() < deadline, output.read_text()[-3_000:]
                time.sleep(0.1)
        finally:
            worker.terminate()
            worker.wait(PATIENCE_S)
    text = output.read_text()
    assert "SaslAuthenticateRequest" in text, "the log holds what would have told it"
    assert PASSWORD not in text


def test_a_worker_with_a_wrong_password_ends(secured: Secured, tmp_path: Path) -> None:
    settings = environment(secured, tmp_path, "PLAIN", "guessed-by-somebody")
    done = subprocess.run(
        (*PROGRAM, "worker"), cwd=ROOT, env=settings, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    printed = done.stdout + done.stderr
    assert done.returncode != 0
    assert "refused the user or the password" in printed
    assert "hint: check user, password and mechanism" in printed
    assert "guessed-by-somebody" not in printed
