"""Looking through a large table, measured: `python -m bench.browse [--keys N]`.

One partition of a table is filled in RocksDB, and asked as `/api/tables` asks it: its size, a page at its beginning,
one at its end, one behind a prefix, one key. None may hang on how many keys there are: try it with a tenth, too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from pelton.clock import SystemClock
from pelton.log.contract import MemberInfo, TopicSpec
from pelton.runtime.holdings import Holding
from pelton.runtime.spec import TableSpec
from pelton.state.contract import Store, TableWrites
from pelton.state.rocksdb import RocksStores
from pelton.web.asking import Asking, Surroundings
from pelton.web.local import rows_in
from pelton.web.queries import Page, Queries
from pelton.web.wire import RowsRequest, WorkerRows

TABLE = "accounts"
BATCH = 50_000
PAGE_ROWS = 50
ROUNDS = 20


class Accounts:
    """The table as queries see it: text keys, values in JSON."""

    name = changelog = TABLE
    replicated = history = False
    size_ms = None

    def encode_key(self, key: str, /) -> bytes:
        """Return a key as it is stored."""
        return key.encode()

    def decode_key(self, data: bytes, /) -> str:
        """Return a stored key."""
        return data.decode()

    def decode(self, data: bytes, /) -> Any:
        """Return a stored value."""
        return json.loads(data)

    route_key = encode_key


def key_of(number: int) -> str:
    """Return the key of a number; they are in the order of the numbers."""
    return f"account-{number:09}"


def fill(store: Store, keys: int) -> None:
    """Write so many accounts."""
    for first in range(0, keys, BATCH):
        numbers = range(first, min(first + BATCH, keys))
        rows = [(key_of(n).encode(), b'{"balance":%d,"owner":"owner-%d"}' % (n % 1_000, n)) for n in numbers]
        store.write({TABLE: TableWrites(rows, position=numbers[-1] + 1)})


def asking(store: Store) -> Queries:
    """Return what asks the one worker that has it all."""
    spec = TableSpec(TABLE, TopicSpec(TABLE, 1))

    def local(request: RowsRequest) -> WorkerRows:
        return WorkerRows(partitions=[rows_in(Holding(0, "owner", spec, store), request, "here")])

    async def members() -> Sequence[MemberInfo]:
        return []

    async def ask(address: str, request: RowsRequest) -> WorkerRows:
        raise AssertionError(address)

    async def count(changelog: str) -> int:
        return 1

    return Queries("bench", Asking(Surroundings("here", local, members, ask, SystemClock())), count)


async def timed(name: str, work: Callable[[], Awaitable[Any]]) -> None:
    """Print the median and the slowest of some rounds."""
    took: list[float] = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        await work()
        took.append((time.perf_counter() - began) * 1000)
    print(f"{name:32} median {median(took):7.2f} ms, slowest {max(took):7.2f} ms")


async def measure(store: Store, keys: int) -> None:
    """Ask for everything that the page asks for."""
    queries, table = asking(store), Accounts()
    last = {0: key_of(keys - PAGE_ROWS).encode()}
    prefix = key_of(keys // 2)[:-3].encode()

    async def page(after: dict[int, bytes] | None, start: bytes = b"", end: bytes | None = None) -> Page:
        found = await queries.scan(table, start, end, limit=PAGE_ROWS, after=after)
        assert len(found.rows) == PAGE_ROWS
        return found

    sizes = (await queries.sizes(table)).partitions[0].size
    assert sizes is not None
    print(f"told to be {sizes.keys:,} keys, {sizes.bytes / (1 << 20):,.0f} MiB")
    await timed("size", lambda: queries.sizes(table))
    await timed(f"first page of {PAGE_ROWS}", lambda: page(None))
    await timed("last page", lambda: page(last))
    await timed("page of a prefix", lambda: page(None, prefix, prefix + b"~"))
    await timed("one key", lambda: queries.value(table, key_of(keys // 3)))


def main() -> None:
    """Fill a table, and look through it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=1_000_000)
    keys = parser.parse_args().keys
    with tempfile.TemporaryDirectory(prefix="browse-") as directory:
        store = RocksStores().open(Path(directory), 0, [TABLE])
        began = time.perf_counter()
        fill(store, keys)
        print(f"{keys:,} keys written in {time.perf_counter() - began:.0f} s")
        asyncio.run(measure(store, keys))
        store.close()
    print(f"memory of the process: at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MiB")


if __name__ == "__main__":
    main()
