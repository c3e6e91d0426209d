import pytest

from pelton.errors import ConfigurationError
from pelton.window import Watermark


def test_it_is_unknown_until_every_partition_has_spoken():
    watermark = Watermark([0, 1], out_of_orderness_ms=5)
    watermark.observe(0, 100)
    assert watermark.watermark_ms is None
    assert not watermark.is_late(0)
    watermark.observe(1, 50)
    assert watermark.watermark_ms == 45


def test_an_idle_partition_does_not_hold_it_back():
    watermark = Watermark([0, 1])
    watermark.observe(0, 100)
    watermark.set_idle(1)
    assert watermark.watermark_ms == 100


def test_it_never_goes_back():
    watermark = Watermark([0, 1])
    watermark.observe(0, 100)
    watermark.set_idle(1)
    assert watermark.watermark_ms == 100
    watermark.observe(1, 20)
    watermark.observe(0, 90)
    assert watermark.watermark_ms == 100
    assert watermark.is_late(20)


def test_a_removed_partition_is_forgotten():
    watermark = Watermark([0, 1])
    watermark.observe(0, 100)
    watermark.remove(1)
    assert watermark.watermark_ms == 100


def test_a_window_closes_once_its_grace_has_passed():
    watermark = Watermark([0], out_of_orderness_ms=10, grace_ms=5)
    watermark.observe(0, 114)
    assert not watermark.is_closed(100)
    watermark.observe(0, 115)
    assert watermark.is_closed(100)


@pytest.mark.parametrize("options", [{"out_of_orderness_ms": -1}, {"grace_ms": -1}])
def test_negative_lengths_are_refused(options):
    with pytest.raises(ConfigurationError):
        Watermark([0], **options)
