"""Who a worker is to Kafka, from the environment: for programs that are started where their author is not.

The environment wins over `broker_credentials=` of the program, as it does for every setting. Secrets are read once, and
appear in no error: what is wrong with them the broker says (pelton.log.kafka.refusal).
"""

# pyright: basic
# Faust is only partly typed; mypy checks this module strictly all the same.
from __future__ import annotations

import ssl
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import faust

from pelton.errors import ConfigurationError

__all__ = ["BROKER_VARIABLES", "broker_credentials"]

_PREFIX = "PELTON_BROKER_"
#: How alike two ends of names are (0 to 1) before one is taken for the other, misspelt.
_MISSPELT = 0.8
PROTOCOL = f"{_PREFIX}PROTOCOL"
MECHANISM = f"{_PREFIX}MECHANISM"
USERNAME = f"{_PREFIX}USERNAME"
PASSWORD = f"{_PREFIX}PASSWORD"
CA_FILE = f"{_PREFIX}CA_FILE"
CERTIFICATE_FILE = f"{_PREFIX}CERTIFICATE_FILE"
KEY_FILE = f"{_PREFIX}KEY_FILE"
#: All that are read here; docs/settings.md describes them.
BROKER_VARIABLES = (PROTOCOL, MECHANISM, USERNAME, PASSWORD, CA_FILE, CERTIFICATE_FILE, KEY_FILE)
_PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
_MECHANISMS = ("SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN")


def broker_credentials(environment: Mapping[str, str]) -> Any:
    """Return the credentials that an environment gives, as Faust has them; None when it gives none.

    Empty variables count as missing.
    Raises: ConfigurationError naming the variable, for words that are none of Kafka's, for variables that do not fit
        the protocol, and for files that cannot be read.
    """
    given = {name: environment[name] for name in BROKER_VARIABLES if environment.get(name)}
    _refuse_misspelt(environment)
    if not given:
        return None
    protocol = _word(given, PROTOCOL, _PROTOCOLS)
    _check_fit(given, protocol)
    context = _context(given) if protocol.endswith("SSL") else None
    if protocol.startswith("SASL"):
        return faust.SASLCredentials(
            username=given[USERNAME],
            password=given[PASSWORD],
            mechanism=_word(given, MECHANISM, _MECHANISMS),
            ssl_context=context,
        )
    return faust.SSLCredentials(context) if context is not None else None


def _refuse_misspelt(environment: Mapping[str, str]) -> None:
    """Refuse what is nearly one of ours; others are not for us (Kubernetes sets some for a service of that name)."""
    ends = [name.removeprefix(_PREFIX) for name in BROKER_VARIABLES]
    for name in environment:
        end = name.removeprefix(_PREFIX)
        if name.startswith(_PREFIX) and end not in ends and get_close_matches(end, ends, 1, _MISSPELT):
            raise ConfigurationError(f"unknown setting {name!r}", hint=f"there are {', '.join(BROKER_VARIABLES)}")


def _word(given: Mapping[str, str], name: str, words: tuple[str, ...]) -> str:
    """Return the word of a variable; the first of them when it is missing."""
    word = given.get(name, words[0])
    if word not in words:
        raise ConfigurationError(f"{name}: expected one of {', '.join(words)}; got {word!r}")
    return word


def _check_fit(given: Mapping[str, str], protocol: str) -> None:
    """Refuse what would be left out silently: a password that is not sent, a CA that nobody asks."""
    tells_who, encrypts = protocol.startswith("SASL"), protocol.endswith("SSL")
    for name in (MECHANISM, USERNAME, PASSWORD) if not tells_who else ():
        if name in given:
            raise ConfigurationError(
                f"{name} is set, but {PROTOCOL} is {protocol}, which sends no user",
                hint=f"set {PROTOCOL}=SASL_SSL (or SASL_PLAINTEXT, which shows the password to the network)",
            )
    for name in (CA_FILE, CERTIFICATE_FILE, KEY_FILE) if not encrypts else ():
        if name in given:
            raise ConfigurationError(
                f"{name} is set, but {PROTOCOL} is {protocol}, which encrypts nothing",
                hint=f"set {PROTOCOL}=SSL or SASL_SSL",
            )
    for name in (USERNAME, PASSWORD) if tells_who else ():
        if name not in given:
            raise ConfigurationError(f"{PROTOCOL} is {protocol}, but {name} is missing")
    if (CERTIFICATE_FILE in given) != (KEY_FILE in given):
        raise ConfigurationError(f"expected both {CERTIFICATE_FILE} and {KEY_FILE}, or neither")


def _context(given: Mapping[str, str]) -> ssl.SSLContext:
    """Return how TLS is spoken: who is trusted, the machine's own CAs unless told, and what we show of ourselves."""
    for name in (CA_FILE, CERTIFICATE_FILE, KEY_FILE):
        if name in given and not Path(given[name]).is_file():
            raise ConfigurationError(f"{name}: there is no file {given[name]}")
    try:
        context = ssl.create_default_context(cafile=given.get(CA_FILE))
        if CERTIFICATE_FILE in given:
            context.load_cert_chain(given[CERTIFICATE_FILE], given[KEY_FILE])
    except (ssl.SSLError, OSError) as error:
        files = ", ".join(given[name] for name in (CA_FILE, CERTIFICATE_FILE, KEY_FILE) if name in given)
        raise ConfigurationError(
            f"could not read {files}: {error}", hint="expected PEM files; the key without a passphrase"
        ) from error
    return context
