"""Why a cluster cannot be reached: aiokafka keeps the reason to itself, so one more connection is made to learn it.

A wrong password or a certificate that is not trusted does not get better by waiting: it is a ConfigurationError, at
once. No error here quotes a password, a token or a certificate's key.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable

from pelton.errors import ConfigurationError, PeltonError, UnavailableError

__all__ = ["refusal"]

# Verification results of OpenSSL (X509_V_ERR_*).
_EXPIRED = 10
_NOT_YET_VALID = 9
_UNKNOWN_ISSUER = frozenset({2, 18, 19, 20, 21})
_WRONG_NAME = frozenset({62, 64})
#: What Kafka's error codes for SASL mean, and what to do; aiokafka's exceptions carry them as errno.
_SASL = {
    58: (
        "refused the user or the password",
        "check user, password and mechanism (PELTON_BROKER_… or broker_credentials); SCRAM users are made in Kafka",
    ),
    33: ("does not offer this SASL mechanism", "see sasl.enabled.mechanisms of the broker"),
    34: ("does not ask for a user there", "is this the port of the listener with SASL?"),
}
_SETTINGS_HINT = "is the broker running, is the address right, do the security settings match the listener?"


def refusal(bootstrap: Iterable[str], protocol: str, reasons: Iterable[BaseException]) -> PeltonError:
    """Return the error that tells why a cluster could not be reached.

    bootstrap: the addresses tried. protocol: the security protocol spoken. reasons: what connecting to each raised. One
    that will not pass by itself is told before one that may.
    """
    where = ", ".join(bootstrap)
    errors = [_explained(where, protocol, reason) for reason in reasons]
    lasting = [error for error in errors if isinstance(error, ConfigurationError)]
    return next(iter(lasting + errors), _unreachable(where, ""))


def _unreachable(where: str, reason: str) -> UnavailableError:
    because = f": {reason}" if reason else ""
    return UnavailableError(f"could not reach Kafka at {where}{because}", hint=_SETTINGS_HINT)


def _explained(where: str, protocol: str, reason: BaseException) -> PeltonError:
    if isinstance(reason, ssl.SSLCertVerificationError):
        return _untrusted(where, reason)
    if isinstance(reason, ssl.SSLError):
        return ConfigurationError(
            f"could not speak TLS with Kafka at {where}: {reason.reason or type(reason).__name__}",
            hint="does the listener at this port speak TLS, and does it ask for a client certificate?",
        )
    if isinstance(reason, ConnectionRefusedError):
        return _unreachable(where, "nothing listens there")
    if not isinstance(reason, OSError) and (refused := _SASL.get(getattr(reason, "errno", 0))):
        return ConfigurationError(f"Kafka at {where} {refused[0]}", hint=refused[1])
    return _unreachable(where, f"the connection broke while {protocol} was spoken ({type(reason).__name__})")


def _untrusted(where: str, reason: ssl.SSLCertVerificationError) -> ConfigurationError:
    """Return what is wrong with the broker's certificate, and who can mend it."""
    if reason.verify_code == _EXPIRED:
        hint = "renew the broker's certificate; check this machine's clock"
    elif reason.verify_code == _NOT_YET_VALID:
        hint = "check this machine's clock"
    elif reason.verify_code in _UNKNOWN_ISSUER:
        hint = "give the CA that signed it: PELTON_BROKER_CA_FILE, or cafile= of the context in broker_credentials"
    elif reason.verify_code in _WRONG_NAME:
        hint = "connect by a name that the certificate has"
    else:
        hint = "look at it with: openssl s_client -connect " + where.partition(",")[0]
    return ConfigurationError(f"could not trust Kafka at {where}: {reason.verify_message}", hint=hint)
