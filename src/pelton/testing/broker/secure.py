"""A listener that asks who is there: TLS, and SASL with users and passwords."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pelton.testing.broker.layout import HOST, Node

__all__ = ["SecureListener", "format_arguments", "secure_properties"]

_SCRAM = ("SCRAM-SHA-256", "SCRAM-SHA-512")
_PLAIN_MODULE = "org.apache.kafka.common.security.plain.PlainLoginModule"
_SCRAM_MODULE = "org.apache.kafka.common.security.scram.ScramLoginModule"


@dataclass(frozen=True, slots=True)
class SecureListener:
    """A listener with SASL_SSL beside the plain one, which the brokers go on using among themselves.

    port: of the first broker; the others follow. keystore: a PEM file with the private key (PKCS 8) and the certificate
    chain, for 127.0.0.1. users: name -> password, for PLAIN and both SCRAM mechanisms. SCRAM's are written when a data
    directory is formatted, so a directory keeps those of its first start.
    """

    port: int
    keystore: Path
    users: Mapping[str, str] = field(repr=False)

    def address(self, node: Node) -> str:
        """Return where it listens on a broker."""
        return f"{HOST}:{self.port + node.id - 1}"


def secure_properties(
    node: Node, listeners: Sequence[SecureListener], plain: Mapping[str, object]
) -> dict[str, object]:
    """Return what these listeners add to a broker's settings. plain: the settings without them."""
    if not listeners:
        return {}
    names = [f"SECURE{index}" for index in range(len(listeners))]
    addresses = [f"{name}://{one.address(node)}" for name, one in zip(names, listeners, strict=True)]
    protocols = [f"{name}:SASL_SSL" for name in names]
    properties: dict[str, object] = {
        "listeners": ",".join([str(plain["listeners"]), *addresses]),
        "advertised.listeners": ",".join([str(plain["advertised.listeners"]), *addresses]),
        "listener.security.protocol.map": ",".join([str(plain["listener.security.protocol.map"]), *protocols]),
        "sasl.enabled.mechanisms": ",".join(["PLAIN", *_SCRAM]),
    }
    for name, listener in zip(names, listeners, strict=True):
        prefix = f"listener.name.{name.lower()}."
        users = " ".join(f'user_{user}="{password}"' for user, password in listener.users.items())
        properties[f"{prefix}ssl.keystore.type"] = "PEM"
        properties[f"{prefix}ssl.keystore.location"] = listener.keystore.resolve()
        properties[f"{prefix}plain.sasl.jaas.config"] = f"{_PLAIN_MODULE} required {users};"
        for mechanism in _SCRAM:
            properties[f"{prefix}{mechanism.lower()}.sasl.jaas.config"] = f"{_SCRAM_MODULE} required;"
    return properties


def format_arguments(listeners: Iterable[SecureListener]) -> list[str]:
    """Return what kafka-storage takes to write the SCRAM users."""
    users = {user: password for listener in listeners for user, password in listener.users.items()}
    return [
        argument
        for mechanism in _SCRAM
        for user, password in users.items()
        for argument in ("--add-scram", f"{mechanism}=[name={user},password={password}]")
    ]
