"""From bytes to typed values and back, a whole column at a time, naming the field that failed."""

from pelton.codec.adapters import register_adapter
from pelton.codec.choice import codec_for, default_serializer
from pelton.codec.column import decode_column
from pelton.codec.contract import Codec
from pelton.codec.serializers import adapted_codec, register_codec, serializer_names
from pelton.codec.upcasting import Upcaster, event_types, upcasting_codec

__all__ = [
    "Codec",
    "Upcaster",
    "adapted_codec",
    "codec_for",
    "decode_column",
    "default_serializer",
    "event_types",
    "register_adapter",
    "register_codec",
    "serializer_names",
    "upcasting_codec",
]
