"""Keyed state in RocksDB: one database a partition number, one column family a table.

The values of all tables and the positions they stand for go into one `WriteBatch`, so a crash leaves both or neither
(invariant I3). The write-ahead log is kept, but not synced: a process that dies loses nothing, a power cut loses a tail
that the changelog holds. This module never decides what is written, or when.
"""

from __future__ import annotations

import logging
import re
import shutil
import threading
import time
import weakref
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import cast

from rocksdict import (
    BlockBasedOptions,
    Cache,
    ColumnFamily,
    DataBlockIndexType,
    DBCompactionStyle,
    DBCompressionType,
    Options,
    Rdict,
    ReadOptions,
    WriteBatch,
    WriteBufferManager,
    WriteOptions,
)

from pelton.errors import DiskError, InternalError, PeltonError, StateCorruptedError, UnavailableError
from pelton.killpoints import step
from pelton.state.contract import TableSize, TableWrites

__all__ = ["RocksStatistics", "RocksStore", "RocksStores"]

logger = logging.getLogger(__name__)

#: What is written on disk; a store with another number is not read.
FORMAT = b"1"
FORMAT_KEY = b"format"
POSITION_PREFIX = b"position:"
#: The column families of tables carry a prefix, because RocksDB keeps the name "default" for itself.
TABLE_PREFIX = "table:"

#: Longer ranges are deleted by one range tombstone, shorter ones key by key. The first read after a new range tombstone
#: sorts all those in the memtable: 1 ms when it holds 400, 10 ms at 700, against 2 µs for a key deleted by itself.
RANGE_KEYS_MAX = 50_000

#: A scan under way.
Scan = Generator[tuple[bytes, bytes], None, None]
Items = Iterator[tuple[bytes, bytes]]

#: After so long without a write, a further copy of a store that nobody holds is deleted.
UNUSED_S = 24 * 3600.0
STALL_RETRY_S = 0.005
STALL_TIMEOUT_S = 30.0

_STORE_NAME = re.compile(r"(-?\d+)(?:\.\d+)?")
_WAL_BYTES_MIN = 4 * 1024 * 1024
_WIPED = "the store is a cache: it is wiped and restored from the changelog"
_BY_KEY = itemgetter(0)
#: How long the first copy is waited for when another process holds it, in seconds.
_HANDOVER_S = 2.0
_LOCKED = ("lock hold by current process", "While lock file")
#: RocksDB turns its info logs over before it takes its lock: of two processes that open one store, one finds them gone.
_INFO_LOG = re.compile(r"No such file or directory.*/LOG(\.old\.\d+)?\b", re.DOTALL)


@dataclass(frozen=True, slots=True)
class RocksStatistics:
    """What one store holds. keys: an estimate, as RocksDB counts overwritten keys until it compacts them.

    stalls: writes that had to wait for a compaction. compactions, flushes: that run now.
    compaction_pending_bytes: an estimate of what compactions have to rewrite.
    block_cache_bytes: of the cache that all stores of a worker share.
    """

    keys: int
    disk_bytes: int
    memory_bytes: int
    writes: int
    stalls: int
    compactions: int = 0
    flushes: int = 0
    compaction_pending_bytes: int = 0
    block_cache_bytes: int = 0


class RocksStore:
    """Partition n of every table, in one RocksDB database; made by `RocksStores.open`."""

    def __init__(self, path: Path, tables: Iterable[str], options: Options) -> None:
        self.path = path
        self._options = options
        self._write_options = _write_options()
        self._families: dict[str, Rdict] = {}
        self._handles: dict[str, ColumnFamily] = {}
        self._scans: weakref.WeakKeyDictionary[Scan, list[Items]] = weakref.WeakKeyDictionary()
        self._writing = threading.Lock()
        self._writes = 0
        self._stalls = 0
        self._closed = False
        names = _existing_tables(path, options) | set(tables)
        self._db = self._open(names)
        try:
            self._check_format()
            for table in names:
                self._attach(table)
        except Exception:
            # The error's traceback would keep the database, and its lock, for as long as somebody handles it.
            self.close()
            raise

    def get(self, table: str, key: bytes) -> bytes | None:
        """Return the value of a key, or None. Raises: StateCorruptedError, UnavailableError."""
        try:
            value: bytes | None = self._families[table].get(key)
            return value
        except Exception as error:
            raise self._explain(error, table) from error

    def get_many(self, table: str, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        """Return the values of many keys, in order; None where there is none."""
        try:
            values: list[bytes | None] = self._families[table].get(list(keys))  # type: ignore[assignment]
            return values
        except Exception as error:
            raise self._explain(error, table) from error

    def scan(self, table: str, start: bytes = b"", end: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) for start <= key < end in the order of the keys' bytes, from one snapshot.

        The snapshot is taken by this call, not by the first step. Closing the store ends the scan.
        """
        try:
            items = self._families[table].items(from_key=start, read_opt=_bounded(end))
        except Exception as error:
            raise self._explain(error, table) from error
        held = [cast("Items", items)]
        scan = self._steps(table, held, start, end)
        self._scans[scan] = held
        return scan

    def last_key(self, table: str) -> bytes | None:
        """Return the greatest key of a table, or None when it is empty."""
        try:
            last = self._families[table].iter()
            last.seek_to_last()
            last.status()
            return cast("bytes", last.key()) if last.valid() else None
        except Exception as error:
            raise self._explain(error, table) from error

    def size(self, table: str) -> TableSize:
        """Return about how much a table holds, as RocksDB estimates it, within microseconds."""
        family = self._family(table)
        keys, *sizes = (
            family.property_int_value(f"rocksdb.{name}") or 0
            for name in ("estimate-num-keys", "total-sst-files-size", "cur-size-all-mem-tables")
        )
        return TableSize(keys, sum(sizes))

    def position(self, table: str) -> int | None:
        """Return the changelog offset that the table stands at, or None when it was never written."""
        self._family(table)
        stored = self._db.get(POSITION_PREFIX + table.encode())
        try:
            return None if stored is None else int(stored)
        except ValueError as error:
            message = f"store {self.path}: the position of table {table!r} is {stored!r}"
            raise StateCorruptedError(message, hint=_WIPED, partition=_partition(self.path)) from error

    @step("store-write")
    def write(self, writes: Mapping[str, TableWrites]) -> None:
        """Apply the writes of all tables in one atomic step, or none of them; may run in a thread of its own.

        Costs about 2 µs a key, half of it for sorting. rocksdict keeps the GIL while RocksDB applies the batch, 0.5 µs
        a key, and reads wait for that. No batch ever waits inside RocksDB (`no_slowdown`): the whole process would.
        """
        with self._writing:
            deadline = time.monotonic() + STALL_TIMEOUT_S
            while not self._write_once(writes):
                if time.monotonic() > deadline:
                    message = f"could not write to {self.path}: compaction is behind by {STALL_TIMEOUT_S:.0f} s"
                    raise UnavailableError(message, hint="the disk is too slow for these writes, or shared")
                self._stalls += 1
                time.sleep(STALL_RETRY_S)
            self._writes += 1

    def wipe(self, table: str) -> None:
        """Delete a table's values and its position, and give the disk space back."""
        with self._writing:
            try:
                self._forget(table)
                self._families.pop(table).close()
                del self._handles[table]
                self._db.drop_column_family(TABLE_PREFIX + table)
                self._db.create_column_family(TABLE_PREFIX + table, self._options).close()
                self._attach(table)
            except Exception as error:
                raise self._explain(error, table) from error

    def tables(self) -> frozenset[str]:
        """Return the names of the tables that the store holds."""
        return frozenset(self._families)

    @step("store-close")
    def close(self) -> None:
        """Let go of the files and the lock; waits for a `write` under way. Idempotent.

        rocksdict flushes the memtables here, so the next `open` has little log to replay.
        """
        with self._writing:
            if self._closed:
                return
            self._closed = True
            for scan, held in list(self._scans.items()):
                scan.close()
                held.clear()  # from Python 3.12 on, closing a generator that was never begun keeps its arguments
            # RocksDB lets go of its lock when the last handle is gone, not before.
            self._handles.clear()
            for database in (*self._families.values(), self._db):
                try:
                    database.close()
                except Exception as error:
                    # A full disk, most likely. What was not flushed is in the log of the store, or in the changelog.
                    logger.warning("store %s: closed without a flush: %s", self.path, error)
            self._families.clear()
            # After a failed flush RocksDB lets go of its files only with the last reference.
            del self._db

    def statistics(self) -> RocksStatistics:
        """Return an immutable record: keys (estimated), bytes on disk, bytes in memory."""

        def total(name: str) -> int:
            return sum(family.property_int_value(f"rocksdb.{name}") or 0 for family in self._families.values())

        return RocksStatistics(
            keys=total("estimate-num-keys"),
            disk_bytes=total("total-sst-files-size"),
            memory_bytes=total("cur-size-all-mem-tables") + total("estimate-table-readers-mem"),
            writes=self._writes,
            stalls=self._stalls,
            compactions=self._db.property_int_value("rocksdb.num-running-compactions") or 0,
            flushes=self._db.property_int_value("rocksdb.num-running-flushes") or 0,
            compaction_pending_bytes=total("estimate-pending-compaction-bytes"),
            block_cache_bytes=self._db.property_int_value("rocksdb.block-cache-usage") or 0,
        )

    def _open(self, tables: set[str]) -> Rdict:
        families = {"default": self._options} | {TABLE_PREFIX + table: self._options for table in sorted(tables)}
        self.path.mkdir(parents=True, exist_ok=True)
        return Rdict(str(self.path), self._options, families)

    def _check_format(self) -> None:
        found = self._db.get(FORMAT_KEY)
        if found is None:
            self._db.put(FORMAT_KEY, FORMAT)
        elif found != FORMAT:
            found_text = found.decode(errors="backslashreplace")
            message = f"store {self.path}: expected format {FORMAT.decode()}, found {found_text}"
            raise StateCorruptedError(message, hint=_WIPED, partition=_partition(self.path))

    def _attach(self, table: str) -> None:
        self._families[table] = self._db.get_column_family(TABLE_PREFIX + table)
        self._handles[table] = self._db.get_column_family_handle(TABLE_PREFIX + table)

    def _family(self, table: str) -> Rdict:
        try:
            return self._families[table]
        except KeyError as error:
            raise self._explain(error, table) from error

    def _write_once(self, writes: Mapping[str, TableWrites]) -> bool:
        """Write everything, or return False when RocksDB asks to wait."""
        try:
            self._db.write(self._batch(writes), self._write_options)
        except Exception as error:
            if str(error).startswith("Result incomplete"):
                return False
            raise self._explain(error) from error
        return True

    def _batch(self, writes: Mapping[str, TableWrites]) -> WriteBatch:
        batch = WriteBatch(raw_mode=True)
        for table, changes in writes.items():
            if changes.position is not None:
                batch.set_default_column_family(None)
                batch[POSITION_PREFIX + table.encode()] = b"%d" % changes.position
            self._family(table)
            batch.set_default_column_family(self._handles[table])
            if changes.delete_range is not None:
                self._delete_range(batch, table, *changes.delete_range)
            # Sorted keys enter the memtable in 0.5 µs, others in 3. The sort is stable: the later of two puts wins.
            for key, value in sorted(changes.puts, key=_BY_KEY):
                if value is None:
                    del batch[key]
                else:
                    batch[key] = value
        return batch

    def _delete_range(self, batch: WriteBatch, table: str, start: bytes, end: bytes) -> None:
        if start >= end:
            return
        keys = [key for key, _ in islice(self.scan(table, start, end), RANGE_KEYS_MAX)]
        if len(keys) < RANGE_KEYS_MAX:
            for key in keys:
                del batch[key]
        else:
            batch.delete_range(start, end, self._handles[table])

    def _forget(self, table: str) -> None:
        """Delete the position and every key in one step: a crash half-way must not leave values without a position."""
        batch = WriteBatch(raw_mode=True)
        del batch[POSITION_PREFIX + table.encode()]
        last = self.last_key(table)
        if last is not None:
            batch.delete_range(b"", last + b"\0", self._handles[table])
        self._db.write(batch)

    def _steps(self, table: str, held: list[Items], start: bytes, end: bytes | None) -> Scan:
        key = start
        try:
            for item in held.pop():
                key = item[0]
                yield item
            self._check_end(table, key, end)
        except Exception as error:
            raise self._explain(error, table) from error

    def _check_end(self, table: str, key: bytes, end: bytes | None) -> None:
        """Make sure that a scan stopped at its end: rocksdict's iterators stop without a word at a damaged block."""
        step = self._families[table].iter(_bounded(end))
        step.seek(key)
        if step.valid():
            step.next()
        step.status()

    def _explain(self, error: Exception, table: str | None = None) -> PeltonError:
        if self._closed:
            return InternalError(f"store {self.path} is closed")
        if table is not None and table not in self._families:
            return InternalError(f"store {self.path} has no table {table!r}, only {sorted(self._families)}")
        return explain(error, self.path)


class RocksStores:
    """Opens RocksDB stores that share one memory budget.

    cache_bytes_max: what the block cache and the write buffers of all stores together may hold. The write-ahead log of
        each store takes a quarter of that on disk, 4 MiB at least.
    """

    def __init__(self, cache_bytes_max: int = 256 * 1024 * 1024) -> None:
        self._cache = Cache(cache_bytes_max)
        self._wal_bytes_max = max(_WAL_BYTES_MIN, cache_bytes_max // 4)
        self._buffers = WriteBufferManager.new_write_buffer_manager_with_cache(
            cache_bytes_max // 2, allow_stall=False, cache=self._cache
        )

    @step("store-open")
    def open(self, directory: Path, partition: int, tables: Iterable[str]) -> RocksStore:
        """Open, or create, the first copy of a partition number's store that no process holds.

        Raises: StateCorruptedError, after which `discard` and another `open` give an empty store; UnavailableError.
        """
        tables = list(tables)
        deadline = time.monotonic() + _HANDOVER_S
        copy = 0
        while True:
            path = directory / (f"{partition}.{copy}" if copy else f"{partition}")
            try:
                return RocksStore(path, tables, _options(self._cache, self._buffers, self._wal_bytes_max))
            except PeltonError:
                raise
            except Exception as error:
                if _INFO_LOG.search(str(error)) and time.monotonic() < deadline + _HANDOVER_S:
                    continue
                if not any(text in str(error) for text in _LOCKED):
                    raise explain(error, path) from error
            # Whoever has the first copy is most likely closing it, after a rebalance: that takes less than a restore.
            if copy == 0 and time.monotonic() < deadline:
                time.sleep(0.02)
            else:
                logger.warning("store %s is in use by another process: the next copy is used, and restored", path)
                copy += 1

    def discard(self, directory: Path, partition: int) -> None:
        """Delete every copy of a partition number's store that no process holds."""
        for path in _stores(directory):
            if _partition(path) == partition:
                try:
                    Rdict.destroy(str(path), Options(raw_mode=True))
                except Exception as error:
                    if any(text in str(error) for text in _LOCKED):
                        continue
                    raise explain(error, path) from error
                shutil.rmtree(path, ignore_errors=True)

    def tidy(self, directory: Path) -> None:
        """Delete further copies that no process holds and none has written to for a day."""
        for path in _stores(directory):
            if "." in path.name and time.time() - _written_at(path) > UNUSED_S:
                try:
                    Rdict.destroy(str(path), Options(raw_mode=True))  # takes the lock, as whoever opens it would
                except Exception as error:
                    logger.info("store %s is unused, and stays: %s", path, error)
                else:
                    shutil.rmtree(path, ignore_errors=True)
                    logger.info("deleted the unused copy %s of a store", path)

    def held(self, directory: Path) -> frozenset[int]:
        """Return the partition numbers that have a store under `directory`."""
        return frozenset(_partition(path) for path in _stores(directory))


def explain(error: Exception, path: Path) -> PeltonError:
    """Return what an error of RocksDB asks for, judged by the status that its text begins with."""
    text = str(error)
    if text.startswith("Corruption") or "No such file" in text:
        return StateCorruptedError(f"store {path}: {text}", hint=_WIPED, partition=_partition(path))
    if text.startswith("IO error") or isinstance(error, OSError):
        return DiskError(f"store {path}: {text}", hint="is the disk full, or read-only?", partition=_partition(path))
    return InternalError(f"store {path}: {type(error).__name__}: {text}")


def _stores(directory: Path) -> list[Path]:
    if not directory.is_dir():
        return []
    return [path for path in directory.iterdir() if path.is_dir() and _STORE_NAME.fullmatch(path.name)]


def _written_at(path: Path) -> float:
    """Return when something in a store was last written, in seconds since the epoch."""
    return max((file.stat().st_mtime for file in path.iterdir()), default=0.0)


def _partition(path: Path) -> int:
    return int(path.name.partition(".")[0])


def _existing_tables(path: Path, options: Options) -> set[str]:
    if (path / "CURRENT").exists():
        families = Rdict.list_cf(str(path), options)
        return {name.removeprefix(TABLE_PREFIX) for name in families if name.startswith(TABLE_PREFIX)}
    if path.is_dir() and any(file.suffix in {".log", ".sst"} for file in path.iterdir()):
        # RocksDB would make a new database here and replay the old log into it: a tail without what came before.
        raise StateCorruptedError(f"store {path}: CURRENT is missing beside data files")
    return set()


def _bounded(end: bytes | None) -> ReadOptions | None:
    if end is None:
        return None
    options = ReadOptions()
    options.set_iterate_upper_bound(end)
    return options


def _write_options() -> WriteOptions:
    options = WriteOptions()
    options.no_slowdown = True
    options.memtable_insert_hint_per_batch = True
    return options


def _options(cache: Cache, buffers: WriteBufferManager, wal_bytes_max: int) -> Options:
    """Return the options of a database and of its column families, chosen by bench/store.py."""
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.create_missing_column_families(True)
    options.set_block_based_table_factory(_blocks(cache))
    # In levels, a file that overlaps nothing is moved to the bottom as it is. One of nothing but tombstones, of keys
    # that came and went between two flushes, would stay there for ever: 45 a partition after three million records.
    options.set_compaction_style(DBCompactionStyle.universal())
    options.set_compression_type(DBCompressionType.lz4())
    options.set_write_buffer_manager(buffers)
    options.set_write_buffer_size(64 * 1024 * 1024)
    options.set_max_write_buffer_number(4)
    # Each memtable takes these whole, and 64 partitions of two tables have 192: with a bloom filter of 2 % and blocks
    # of 1 MiB, RocksDB's default, a worker took 550 MiB of memory, and flushed all the time to keep to its limit.
    options.set_memtable_prefix_bloom_ratio(0.001)
    options.set_arena_block_size(64 * 1024)
    options.set_memtable_whole_key_filtering(True)
    # One writer at a time: the locks that several would need cost 5 %.
    options.set_allow_concurrent_memtable_write(False)
    options.set_level_zero_slowdown_writes_trigger(40)
    options.set_level_zero_stop_writes_trigger(80)
    # A table that is seldom written would otherwise keep the logs of all others alive.
    options.set_max_total_wal_size(wal_bytes_max)
    options.set_max_open_files(512)
    options.set_max_background_jobs(2)
    # Each flush adds some kilobytes to the list of files, which is written anew from this size on. RocksDB's default is
    # a gibibyte; of a thousand files, it takes a tenth of this.
    options.set_max_manifest_file_size(1024 * 1024)
    options.set_keep_log_file_num(2)
    options.set_max_log_file_size(256 * 1024)
    options.set_stats_dump_period_sec(0)
    options.set_stats_persist_period_sec(0)
    return options


def _blocks(cache: Cache) -> BlockBasedOptions:
    blocks = BlockBasedOptions()
    blocks.set_block_cache(cache)
    blocks.set_bloom_filter(10, False)
    blocks.set_cache_index_and_filter_blocks(True)
    blocks.set_pin_l0_filter_and_index_blocks_in_cache(True)
    # A hash in each block instead of a binary search: 15 % off a point get.
    blocks.set_data_block_index_type(DataBlockIndexType.binary_and_hash())
    blocks.set_data_block_hash_ratio(0.75)
    blocks.set_format_version(5)
    return blocks
