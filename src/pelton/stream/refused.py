"""What Faust has and this engine has not: such a name says so, and what to do instead, as soon as it is used."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NoReturn

from pelton.errors import ConfigurationError

__all__ = ["Refused", "check_options"]


class Refused:
    """An attribute that exists to be refused; several names may share one. hint: what to do instead."""

    def __init__(self, hint: str) -> None:
        self.hint = hint
        self.names: list[str] = []

    def __set_name__(self, owner: type, name: str) -> None:
        self.names.append(name)

    def __get__(self, instance: object, owner: type) -> Any:
        """Raise ConfigurationError; on the class itself, return this object, for those who look around."""
        return self if instance is None else self._refuse(owner)

    def _refuse(self, owner: type) -> NoReturn:
        raise ConfigurationError(f"{owner.__name__} does not support {', '.join(self.names)}", hint=self.hint)


def check_options(
    what: str, given: Mapping[str, Any], *, ignored: Collection[str] = (), refused: Mapping[str, str] | None = None
) -> None:
    """Look through the arguments of Faust's that nothing here reads.

    what: whose they are. ignored: those that change nothing about the result. refused: name -> what to do instead.
    Raises: ConfigurationError for a refused one that is set, TypeError for one that nobody knows.
    """
    for name, value in given.items():
        if refused and name in refused:
            if value:
                raise ConfigurationError(f"{what}: {name}= is not supported", hint=refused[name])
        elif name not in ignored:
            raise TypeError(f"{what} has no argument {name!r}")
