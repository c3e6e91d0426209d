from hypothesis import given, settings
from hypothesis import strategies as st

from pelton.window import WINDOW_PREFIX_BYTES, window_key, window_key_prefix, window_key_suffix, window_start_of

#: A shared machine may stop for longer than hypothesis allows an example.
unhurried = settings(deadline=None)
starts = st.integers(-(2**63), 2**63 - 1)


@unhurried
@given(starts, st.binary())
def test_a_key_comes_back(start_ms, key):
    stored = window_key(start_ms, key)
    assert (window_start_of(stored), window_key_suffix(stored)) == (start_ms, key)
    assert stored.startswith(window_key_prefix(start_ms))
    assert len(window_key_prefix(start_ms)) == WINDOW_PREFIX_BYTES


@unhurried
@given(starts, starts, st.binary(), st.binary())
def test_bytes_sort_as_times_do(one_ms, other_ms, one_key, other_key):
    one, other = window_key(one_ms, one_key), window_key(other_ms, other_key)
    assert (one < other) == ((one_ms, one_key) < (other_ms, other_key))


@unhurried
@given(starts, starts, st.binary())
def test_a_prefix_bounds_the_windows_before_it(start_ms, bound_ms, key):
    assert (window_key(start_ms, key) < window_key_prefix(bound_ms)) == (start_ms < bound_ms)


def test_a_bound_outside_of_64_bits_is_the_nearest_inside():
    assert window_key_prefix(-(2**70)) == b"\0" * 8
    assert window_key_prefix(2**70) == b"\xff" * 8
