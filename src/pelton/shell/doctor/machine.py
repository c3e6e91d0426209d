"""What is to be said of the machine: disks, file systems, open files, memory, its name."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from pelton.log.upkeep import Disk
from pelton.shell.doctor.findings import Examined, Finding

__all__ = ["judge_machine"]

_GIB = 1024**3
_FREE_WARN, _FREE_ERROR = 0.1, 0.03
_FREE_ERROR_BYTES = _GIB // 4
#: Not warned of where so much is free, however large the disk.
_PLENTY_BYTES = 100 * _GIB
_NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "ceph", "glusterfs"})
_PASSING = frozenset({"tmpfs", "ramfs"})
#: What a process has open beside its stores, and how many files a store may have (RocksDB's max_open_files).
_FILES_BESIDE, _FILES_STORE = 256, 512


def judge_machine(examined: Examined) -> Iterator[Finding]:
    """Yield what is to be said."""
    for disk in chain(examined.disks, *(server.disks for server in examined.servers)):
        yield from _disk(disk)
    for what, (place, kind) in examined.places.items():
        yield from _file_system(what, place, kind)
    for place in examined.unwritable:
        yield Finding(
            "error",
            "not-writable",
            f"{place} cannot be written to",
            "give it to the worker's user, or choose another APP_DATADIR",
        )
    yield from _files(examined)
    yield from _memory(examined)
    if examined.settings.web_host and not examined.host_known:
        yield Finding(
            "warning",
            "host-unknown",
            f"this machine does not know {examined.settings.web_host!r}, by which workers ask each other for rows",
            "set WEB_HOST to a name or an address that every worker can reach",
        )


def _disk(disk: Disk) -> Iterator[Finding]:
    share = disk.free_bytes / disk.total_bytes if disk.total_bytes else 1.0
    if share >= _FREE_WARN or (disk.free_bytes >= _PLENTY_BYTES):
        return
    worst = share < _FREE_ERROR or disk.free_bytes < _FREE_ERROR_BYTES
    yield Finding(
        "error" if worst else "warning",
        "disk",
        f"{disk.free_bytes / _GIB:.1f} GiB ({share:.0%}) are free for {disk.where}",
        "make room, or shorten what is kept (faust -A app topics list); a full disk stops all writes",
    )


def _file_system(what: str, place: str, kind: str) -> Iterator[Finding]:
    if what == "log" and kind in _NETWORK:
        yield Finding(
            "error",
            "log-on-network",
            f"the embedded log is on {kind}: {place}",
            "SQLite's write-ahead log needs memory shared by processes: use a disk of this machine, or Kafka",
        )
    elif what == "log" and kind in _PASSING:
        yield Finding(
            "error",
            "log-in-memory",
            f"the embedded log is in memory ({kind}): {place}",
            "put it on a disk: it is the data",
        )
    elif kind in _PASSING:
        yield Finding(
            "warning",
            "state-in-memory",
            f"state is in memory ({kind}): {place}",
            "it is lost with the machine, and replayed from the changelogs: choose an APP_DATADIR on a disk",
        )
    elif kind in _NETWORK:
        yield Finding(
            "warning",
            "state-on-network",
            f"state is on a network's file system ({kind}): {place}",
            "choose an APP_DATADIR on a disk of the machine: each commit waits for it",
        )


def _files(examined: Examined) -> Iterator[Finding]:
    stores = examined.numbers if examined.tables else 0
    workers = max(1, examined.workers)
    needed = _FILES_BESIDE + _FILES_STORE * -(-stores // workers)
    if examined.descriptors and examined.descriptors < needed:
        yield Finding(
            "error" if examined.descriptors < needed // 4 else "warning",
            "open-files",
            f"a process may have {examined.descriptors:,} files open; the stores of {stores} partition(s) "
            f"over {workers} worker(s) may need {needed:,}",
            "raise the limit: ulimit -n 65536, LimitNOFILE= in a unit of systemd",
        )


def _memory(examined: Examined) -> Iterator[Finding]:
    engine = examined.settings.engine
    wanted = engine.table_cache_bytes_max + engine.task_queue_bytes_max + 2 * engine.commit_bytes_max
    if examined.memory_bytes and wanted > examined.memory_bytes // 2:
        yield Finding(
            "warning",
            "memory",
            f"caches, queues and commits of one worker may take {wanted / _GIB:.1f} GiB, the machine has "
            f"{examined.memory_bytes / _GIB:.1f}",
            "lower PELTON_TABLE_CACHE_BYTES_MAX, PELTON_TASK_QUEUE_BYTES_MAX or PELTON_COMMIT_BYTES_MAX",
        )
