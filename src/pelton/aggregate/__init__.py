"""Aggregates: how the events of a window, or of a key, become one value."""

from pelton.aggregate.contract import Aggregate, Field, field_getter
from pelton.aggregate.exact import Count, Distinct, First, Last, Max, Mean, Min, Sum, Top, Variance
from pelton.aggregate.sketches import ApproxDistinct, Quantiles
from pelton.aggregate.states import decode_states, encode_states

__all__ = [
    "Aggregate",
    "ApproxDistinct",
    "Count",
    "Distinct",
    "Field",
    "First",
    "Last",
    "Max",
    "Mean",
    "Min",
    "Quantiles",
    "Sum",
    "Top",
    "Variance",
    "decode_states",
    "encode_states",
    "field_getter",
]
