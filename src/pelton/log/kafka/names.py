"""Header names that are not UTF-8.

Kafka does not look into a header's name, so a producer may put any bytes there. aiokafka reads and writes names as
strict UTF-8 and fails with the first other one, and all records of its batch with it. Such batches take the way here:
aiokafka's reader and builder in Python, with the bytes that are not UTF-8 as lone surrogates (PEP 383). Nearly no batch
has any, and the others go through C.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from pelton.batch import Headers
from pelton.log.kafka.aio import PlainRecordBatch

__all__ = ["NAME_ERRORS", "ForeignName", "foreign", "read_records"]

#: How names become text and bytes again: every byte that is not UTF-8 stands for itself.
NAME_ERRORS = "surrogateescape"


class ForeignName(str):
    """A name that encodes itself as the bytes it came from."""

    __slots__ = ()

    def encode(self, encoding: str = "utf-8", errors: str = NAME_ERRORS) -> bytes:
        """Return its bytes."""
        return super().encode(encoding, errors)


class _ForeignBytes(bytearray):
    """Bytes whose slices decode as foreign names do."""

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return _ForeignBytes(super().__getitem__(cast("slice[int, int, None]", index)))
        return super().__getitem__(int(index))

    def decode(self, encoding: str = "utf-8", errors: str = NAME_ERRORS) -> str:
        return super().decode(encoding, errors)


def foreign(headers: Iterable[Headers]) -> bool:
    """Return whether some name is not UTF-8."""
    names = (name for own in headers for name, _ in own if not name.isascii())
    return any("\udc80" <= char <= "\udcff" for name in names for char in name)


def read_records(raw: bytes) -> list[Any]:
    """Return the records of a sealed batch, whatever bytes their headers' names are.

    Raises: KafkaError when it is not a batch of records at all.
    """
    batch = PlainRecordBatch(raw)
    iter(batch)  # decompresses
    batch._buffer = _ForeignBytes(batch._buffer)
    return list(batch)
