"""Pure time arithmetic: windows, watermarks, and the keys under which windows are stored."""

from pelton.window.arithmetic import (
    HoppingWindow,
    Int64Array,
    SessionMerge,
    SessionWindow,
    SlidingWindow,
    TumblingWindow,
    Window,
    hopping_starts,
    tumbling_starts,
)
from pelton.window.keys import (
    WINDOW_PREFIX_BYTES,
    window_key,
    window_key_prefix,
    window_key_suffix,
    window_start_of,
)
from pelton.window.times import as_ms, declared_ms, iso_time, milliseconds, seconds
from pelton.window.watermark import Watermark

__all__ = [
    "WINDOW_PREFIX_BYTES",
    "HoppingWindow",
    "Int64Array",
    "SessionMerge",
    "SessionWindow",
    "SlidingWindow",
    "TumblingWindow",
    "Watermark",
    "Window",
    "as_ms",
    "declared_ms",
    "hopping_starts",
    "iso_time",
    "milliseconds",
    "seconds",
    "tumbling_starts",
    "window_key",
    "window_key_prefix",
    "window_key_suffix",
    "window_start_of",
]
