"""Memory stays bounded: of a worker over keys that are new for ever, and of many stores in one process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench.memory import Sample, figure, measure, slope_mib_per_million, visits
from bench.progress import Progress

pytestmark = pytest.mark.timeout(400)

#: Opens 64 stores of two tables each, writes a little to all of them, and prints the memory they took, in MiB.
STORES = """
import sys, psutil
from pathlib import Path
from pelton.state.contract import TableWrites
from pelton.state.rocksdb import RocksStores
before = psutil.Process().memory_info().rss
factory = RocksStores(32 * 1024 * 1024)
stores = [factory.open(Path(sys.argv[1]), number, ["one", "two"]) for number in range(64)]
for turn in range(5):
    for store in stores:
        for table in ("one", "two"):
            rows = [(b"%d-%d" % (turn, row), b"value") for row in range(50)]
            store.write({table: TableWrites(puts=rows, position=turn)})
print((psutil.Process().memory_info().rss - before) // 1024 // 1024)
"""


def test_slope() -> None:
    flat = [Sample(n * 1_000, 100.0 if n > 4 else 10.0 * n) for n in range(1, 11)]
    assert slope_mib_per_million(flat) == 0
    assert slope_mib_per_million([Sample(n * 1_000, n / 2) for n in range(1, 11)]) == pytest.approx(500)
    with pytest.raises(ValueError, match="longer run"):
        slope_mib_per_million(flat[:1])
    assert figure(flat).count("polyline") == 1


def test_every_visitor_leaves_and_none_comes_back() -> None:
    values = [value for batch in visits("run", 0, 10_000, 4) for value in batch.values if value is not None]
    assert len(values) == 10_000
    assert sum(b'"last":true' in value for value in values) == 2_000
    names = [value.split(b'"')[3] for value in values]
    assert {names.count(name) for name in set(names)} == {5}


async def test_keys_that_are_new_for_ever_cost_no_memory(tmp_path: Path) -> None:
    """Sixty thousand records are sixty seconds of windows that expire; what is kept of each record would show."""
    samples = await measure(tmp_path, Progress(), records=60_000, partitions=8)
    late = [sample.rss_mib for sample in samples if sample.records >= 30_000]
    assert max(late) - late[0] < 48


def test_many_stores_share_their_memory(tmp_path: Path) -> None:
    """It was 520 MiB: RocksDB sets memory aside for each table of each partition, whatever the shared limit."""
    command = [sys.executable, "-c", STORES, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, check=True, text=True, timeout=120)
    assert int(done.stdout) < 160
