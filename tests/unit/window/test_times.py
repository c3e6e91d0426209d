"""What a program declares and what is no duration is told as such, when it is declared."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

import pelton
from pelton.aggregate import Quantiles
from pelton.errors import ConfigurationError

DECLARATIONS: list[Callable[[Any], object]] = [
    pelton.tumbling,
    lambda duration: pelton.hopping(10, duration),
    pelton.session,
    pelton.sliding,
]


@pytest.mark.parametrize("declare", DECLARATIONS)
@pytest.mark.parametrize("given", [math.nan, math.inf, "a minute", None, []])
def test_what_is_no_duration_is_refused(declare: Callable[[Any], object], given: object) -> None:
    with pytest.raises(ConfigurationError, match="expected a duration in seconds or as a timedelta, got"):
        declare(given)


@pytest.mark.parametrize("declare", DECLARATIONS)
def test_seconds_and_timedeltas_are_the_same(declare: Callable[[Any], object]) -> None:
    assert declare(1.5) == declare(timedelta(milliseconds=1500))


@pytest.mark.parametrize("shares", [0.5, (), (1.1,), ("half",), None])
def test_shares_that_are_none_are_refused(shares: Any) -> None:
    with pytest.raises(ConfigurationError, match="expected shares from 0 to 1"):
        Quantiles("amount", shares)
