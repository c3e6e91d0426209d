"""Types that msgspec does not know, and whoever knows them.

pydantic is recognised by the attributes that it gives its models, so it needs neither to be installed nor imported.
Other kinds (`faust.Record`) are added by `register_adapter`, from the layer that may import them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pelton.codec.contract import Codec
from pelton.codec.explain import explainer
from pelton.codec.serializers import adapted_codec

__all__ = ["adapter_for", "register_adapter"]

Matches = Callable[[Any], bool]
Make = Callable[[Any, str], Codec[Any]]


@dataclass(frozen=True, slots=True)
class _Adapter:
    matches: Matches
    make: Make


_adapters: list[_Adapter] = []


def register_adapter(matches: Matches, make: Make) -> None:
    """Let a kind of types be used for keys and values.

    matches: whether a type is of this kind; asked in the order of registration, newest first.
    make: (type, serializer) -> its codec; `adapted_codec` builds one from two conversions.
    """
    _adapters.insert(0, _Adapter(matches, make))


def adapter_for(type_: object) -> Make | None:
    """Return what makes the codecs of a type, or None when msgspec is to make them."""
    return next((adapter.make for adapter in _adapters if adapter.matches(type_)), None)


def _is_pydantic(type_: Any) -> bool:
    return isinstance(type_, type) and hasattr(type_, "__pydantic_validator__")


def _pydantic_codec(type_: Any, serializer: str) -> Codec[Any]:
    validator, writer = type_.__pydantic_validator__, type_.__pydantic_serializer__
    if serializer == "json":
        return Codec(
            name=serializer,
            type=type_,
            decode=validator.validate_json,
            encode=writer.to_json,
            errors=(Exception,),
            explain=explainer(serializer, type_),
        )

    def to_builtins(model: Any) -> object:
        return writer.to_python(model, mode="json")

    return adapted_codec(type_, serializer, load=validator.validate_python, dump=to_builtins)


register_adapter(_is_pydantic, _pydantic_codec)
