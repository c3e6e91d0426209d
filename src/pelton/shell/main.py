"""The program `faust`, as pelton installs it: Faust's own, that says in two lines when there is no such application.

It takes the place of the script that faust-streaming installs. Where that one is found instead, everything works as
well, but a wrong -A ends in a traceback.
"""

# pyright: basic
# Faust and mode are only partly typed; mypy checks this module strictly all the same.
from __future__ import annotations

import sys
from collections.abc import Sequence
from types import ModuleType

import click
from faust.cli.faust import cli

from pelton.errors import ConfigurationError

__all__ = ["main"]

EX_USAGE = 2


def main() -> None:
    """Run the command line; the exit status is 2 when the application is not found."""
    try:
        cli()
    except (ModuleNotFoundError, AttributeError) as error:
        refusal = _refusal(error, _named(sys.argv[1:]))
        if refusal is None:
            raise
        click.echo(f"error: {refusal}", err=True)
        raise SystemExit(EX_USAGE) from None


def _named(words: Sequence[str]) -> str:
    """Return what -A or --app names; "" when there is none."""
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word in ("-A", "--app"):
            return following
        if word.startswith("--app="):
            return word.removeprefix("--app=")
    return ""


def _refusal(error: ModuleNotFoundError | AttributeError, named: str) -> ConfigurationError | None:
    """Return what to tell of an application that is not there; None when it is, and its own code failed."""
    module = named.partition(":")[0]
    if isinstance(error, ModuleNotFoundError):
        if not error.name or not f"{module}.".startswith(f"{error.name}."):
            return None
        return ConfigurationError(
            f"there is no application {named!r}: no module named {error.name!r}",
            hint="run it where the module is: -A app, -A package.module or -A module:name, as Python would import it",
        )
    if isinstance(error.obj, ModuleType) and error.obj.__name__ == module:
        return ConfigurationError(
            f"there is no application {named!r}: the module {module!r} has no {error.name!r}",
            hint=f"name the variable that holds it: -A {module}:name",
        )
    return None


if __name__ == "__main__":
    main()
