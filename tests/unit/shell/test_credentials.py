"""Who a worker is to Kafka, from the environment."""

from __future__ import annotations

import ssl
from pathlib import Path

import faust
import pytest

from pelton import App
from pelton.errors import ConfigurationError
from pelton.shell.credentials import BROKER_VARIABLES, broker_credentials

USER = {"PELTON_BROKER_USERNAME": "alice", "PELTON_BROKER_PASSWORD": "open-sesame"}


def test_nothing_is_given() -> None:
    assert broker_credentials({}) is None
    assert broker_credentials({"PELTON_BROKER_PROTOCOL": "PLAINTEXT", "PELTON_BROKER_PASSWORD": ""}) is None
    assert broker_credentials({"PELTON_BROKER_PORT": "tcp://10.0.0.1:80", "PELTON_BROKER_SERVICE_HOST": "x"}) is None


def test_a_user() -> None:
    found = broker_credentials(USER | {"PELTON_BROKER_PROTOCOL": "SASL_PLAINTEXT"})
    assert (found.username, found.password, found.mechanism.value) == ("alice", "open-sesame", "SCRAM-SHA-512")
    assert found.ssl_context is None


def test_tls() -> None:
    found = broker_credentials(USER | {"PELTON_BROKER_PROTOCOL": "SASL_SSL", "PELTON_BROKER_MECHANISM": "PLAIN"})
    assert isinstance(found, faust.SASLCredentials)
    assert found.ssl_context is not None
    assert found.ssl_context.verify_mode == ssl.CERT_REQUIRED
    assert found.mechanism.value == "PLAIN"
    alone = broker_credentials({"PELTON_BROKER_PROTOCOL": "SSL"})
    assert isinstance(alone, faust.SSLCredentials)
    assert alone.context.check_hostname


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"PELTON_BROKER_PROTOCOL": "TLS"}, "PELTON_BROKER_PROTOCOL: expected one of PLAINTEXT, SSL"),
        (USER, "PELTON_BROKER_USERNAME is set, but PELTON_BROKER_PROTOCOL is PLAINTEXT, which sends no user"),
        ({"PELTON_BROKER_CA_FILE": "/ca.crt"}, "PELTON_BROKER_CA_FILE is set, but .* encrypts nothing"),
        ({"PELTON_BROKER_PROTOCOL": "SASL_SSL"}, "SASL_SSL, but PELTON_BROKER_USERNAME is missing"),
        ({"PELTON_BROKER_PROTOCOL": "SSL", "PELTON_BROKER_KEY_FILE": "/key"}, "expected both"),
        ({"PELTON_BROKER_PROTOCOL": "SSL", "PELTON_BROKER_CA_FILE": "/none/ca"}, "CA_FILE: there is no file /none/ca"),
        ({"PELTON_BROKER_PASSWD": "x"}, "unknown setting 'PELTON_BROKER_PASSWD'"),
        (
            USER | {"PELTON_BROKER_PROTOCOL": "SASL_SSL", "PELTON_BROKER_MECHANISM": "SCRAM"},
            "expected one of SCRAM-SHA",
        ),
    ],
)
def test_what_does_not_fit_is_refused(given: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as caught:
        broker_credentials(given)
    assert "open-sesame" not in str(caught.value)


def test_a_file_that_holds_no_certificate_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "ca.crt"
    file.write_text("no certificate")
    with pytest.raises(ConfigurationError, match=r"could not read .*ca\.crt.*"):
        broker_credentials({"PELTON_BROKER_PROTOCOL": "SSL", "PELTON_BROKER_CA_FILE": str(file)})


def test_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (USER | {"PELTON_BROKER_PROTOCOL": "SASL_PLAINTEXT"}).items():
        monkeypatch.setenv(name, value)
    app = App("who", datadir=str(tmp_path), broker_credentials=faust.SASLCredentials(username="bob", password="b"))
    assert app.conf.broker_credentials.username == "alice"
    monkeypatch.setenv("PELTON_BROKER_PROTOCOL", "")
    monkeypatch.setenv("PELTON_BROKER_USERNAME", "")
    monkeypatch.setenv("PELTON_BROKER_PASSWORD", "")
    app = App("who", datadir=str(tmp_path), broker_credentials=faust.SASLCredentials(username="bob", password="b"))
    assert app.conf.broker_credentials.username == "bob"


def test_all_of_them_are_described() -> None:
    page = (Path(__file__).parents[3] / "docs" / "settings.md").read_text()
    assert [name for name in BROKER_VARIABLES if f"`{name}`" not in page] == []
