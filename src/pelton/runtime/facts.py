"""What a store says of itself: whose state it holds, of what kind, and as of when.

A directory may hold what another application, or another declaration of the same tables, has left there. A store is a
cache of the changelogs, so what does not fit is wiped and restored; it is not where that would destroy what belongs to
somebody else, or bring back what does not fit either.

A compacted changelog says only for a while that a key is gone (`delete.retention.ms`). Who goes on from an older
position, or is slower than that, does not hear of it, and the key would stay (invariant I3). So a store notes of each
table when it was last known to hold all that the changelog held, and for how long that told deletions then; a table of
which that was too long ago is wiped, and filled from the start. The times are the wall clock of the machine.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from pelton.errors import ConfigurationError
from pelton.runtime.spec import TableSpec
from pelton.state.contract import Store, TableWrites

__all__ = ["FACTS_TABLE", "note_current", "notes_every_ms", "outdated", "settle_facts"]

logger = logging.getLogger(__name__)

#: Where a store keeps them; no table of a program has such a name.
FACTS_TABLE = "@facts"
_APP = b"app"
_CURRENT = b"current "
#: The share of the time that deletions are told for in which a store may go on: clocks differ, and time passes between
#: looking at it and writing what was read.
_SURE = 0.9
#: How often it is noted within that time.
_NOTES = 20
_NOTES_EVERY_MIN_MS = 10.0


def settle_facts(
    store: Store,
    app_id: str,
    tables: Iterable[TableSpec],
    counts: Mapping[str, int],
    marks: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> None:
    """Compare what a store says of itself with what it is opened for; wipe what differs, and note what is true now.

    counts: changelog topic -> number of partitions. marks: table -> those that say how far it is, besides itself.
    Raises: ConfigurationError when it belongs to another application, or a table is windowed now and was not, or the
        other way round; nothing is changed then.
    """
    known = dict(store.scan(FACTS_TABLE))
    owner = known.get(_APP, app_id.encode()).decode()
    if owner != app_id:
        raise ConfigurationError(
            f"the state in this data directory is that of application {owner!r}, not of {app_id!r}",
            hint="give each application a data directory of its own (--datadir, APP_DATADIR)",
        )
    facts = {_APP: app_id.encode()}
    for spec in tables:
        key = b"table " + spec.name.encode()
        told = {"changelog": spec.changelog.name, "partitions": counts[spec.changelog.name]}
        told["windowed"] = spec.window_size_ms is not None
        facts[key] = json.dumps(told).encode()
        before = json.loads(known.get(key, facts[key]))
        _check_windows(spec, before["windowed"])
        if before != told:
            logger.warning('table "%s" is wiped and restored: it was %s, and is %s now', spec.name, before, told)
            for name in (*marks.get(spec.name, ()), spec.name):
                store.wipe(name)
    if facts.items() - known.items():
        store.write({FACTS_TABLE: TableWrites(puts=list(facts.items()))})


def _check_windows(spec: TableSpec, before: bool) -> None:
    """Refuse what a restore cannot mend: the keys in the changelog are those of the other kind of table."""
    if before != (spec.window_size_ms is not None):
        kinds = ("a windowed", "a plain") if before else ("a plain", "a windowed")
        raise ConfigurationError(
            f'table "{spec.name}" is {kinds[1]} table now, but its state and its changelog are those of {kinds[0]} one',
            hint="give the table another name, or delete its changelog and its state, and process the source again",
        )


def notes_every_ms(tables: Iterable[TableSpec]) -> float | None:
    """Return how often stores are to note that they hold all of these tables; None where that is of no use."""
    told = [spec.deletions_ms for spec in tables if spec.deletions_ms]
    return max(_NOTES_EVERY_MIN_MS, min(told) / _NOTES) if told else None


def note_current(store: Store, tables: Mapping[str, TableSpec], time_ms: int) -> None:
    """Note that the store held, at a time, all that the changelogs of these tables held.

    tables: name in the store -> what it is.
    """
    told = {name: spec.deletions_ms for name, spec in tables.items() if spec.deletions_ms is not None}
    if told:
        puts = [(_CURRENT + name.encode(), b"%d %d" % (time_ms, told_ms)) for name, told_ms in told.items()]
        store.write({FACTS_TABLE: TableWrites(puts=puts)})


def outdated(store: Store, name: str, spec: TableSpec, now_ms: int) -> bool:
    """Return whether the changelog may have forgotten deletions that a table in the store has not heard of.

    One that notes nothing was written by a version that did not know of this: it is taken as it is. So is any where
    deletions are not told at all: nothing would ever be up to date.
    """
    told_ms = spec.deletions_ms
    noted = store.get(FACTS_TABLE, _CURRENT + name.encode()) if told_ms else None
    if told_ms is None or noted is None:
        return False
    noted_ms, told_then_ms = map(int, noted.split())
    return now_ms - noted_ms > _SURE * min(told_ms, told_then_ms)
