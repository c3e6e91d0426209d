"""The pytest plugin: fixtures that drive applications. pytest loads it in every run, so it imports nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pelton import App
    from pelton.testing import Driver

__all__ = ["pelton_driver"]


@pytest.fixture
def pelton_driver() -> Iterator[Callable[..., Driver]]:
    """Give a function that starts a `pelton.testing.Driver` for an application, or several; the test's end closes it.

    Usage: `driver = pelton_driver(app)`; further arguments are those of `Driver`.
    """
    with ExitStack() as stack:

        def drive(*apps: App, **options: Any) -> Driver:
            driver: Driver = import_module("pelton.testing.driver").Driver(*apps, **options)
            return stack.enter_context(driver)

        yield drive
