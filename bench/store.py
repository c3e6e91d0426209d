"""What the keyed state costs a key, on memory and on RocksDB: `python -m bench.store [keys]`.

The options in pelton/state/rocksdb.py were chosen by these figures. CPU time of the calling thread, because it is the
event loop's; beside it the wall clock for writes, which also wait for the disk and the background threads.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench import machine
from pelton.state.contract import Store, StoreFactory, TableWrites
from pelton.state.memory import MemoryStores
from pelton.state.rocksdb import RocksStores

VALUE = b'{"count":12,"sum":3456.75,"countries":["NL","DE"]}'
COMMIT_KEYS = 10_000
RESTORE_KEYS = 50_000
SAMPLE = 20_000


def main(keys: int) -> None:
    """Print one line a measurement."""
    print(machine.describe())
    homes: dict[str, Callable[[], StoreFactory]] = {"memory": MemoryStores, "rocksdb": RocksStores}
    for name, home in homes.items():
        with tempfile.TemporaryDirectory() as directory:
            store = home().open(Path(directory), 0, ["table"])
            for what, figure in measurements(store, keys):
                print(f"{name:8} {keys:9,} keys  {what:46} {figure}", flush=True)
            store.close()


def measurements(store: Store, keys: int) -> Iterator[tuple[str, str]]:
    """Yield what was measured, and the figure."""
    names = [b"account%08d" % number for number in range(keys)]
    random.Random(7).shuffle(names)
    yield "restore, batches of 50,000 in random order", written(store, names, RESTORE_KEYS)
    yield "commit, batches of 10,000 in random order", written(store, names, COMMIT_KEYS)
    sample = random.Random(8).sample(names, min(SAMPLE, keys))
    missing = [name + b"x" for name in sample]
    yield "get", per_key(lambda: [store.get("table", name) for name in sample], len(sample))
    yield "get of what is not there", per_key(lambda: [store.get("table", name) for name in missing], len(sample))
    yield "get_many", per_key(lambda: store.get_many("table", sample), len(sample))
    yield "scan", per_key(lambda: sum(1 for _ in store.scan("table")), keys)


def written(store: Store, names: Sequence[bytes], size: int) -> str:
    """Write every key once, in batches, and return how fast."""
    wall, cpu = time.perf_counter(), time.thread_time()
    for start in range(0, len(names), size):
        puts: list[tuple[bytes, bytes | None]] = [(name, VALUE) for name in names[start : start + size]]
        store.write({"table": TableWrites(puts, position=start)})
    wall, cpu = time.perf_counter() - wall, time.thread_time() - cpu
    return f"{len(names) / wall:9,.0f} puts/s, {cpu / len(names) * 1e6:.2f} µs of CPU each"


def per_key(call: Callable[[], object], keys: int) -> str:
    """Run a call and return its CPU time a key."""
    started = time.thread_time()
    call()
    return f"{(time.thread_time() - started) / keys * 1e6:.2f} µs"


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000)
