"""What a store says of itself: whose state it holds, and of what kind.

A directory may hold what another application, or another declaration of the same tables, has left there. A store is a
cache of the changelogs, so what does not fit is wiped and restored; it is not where that would destroy what belongs to
somebody else, or bring back what does not fit either.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping

from pelton.errors import ConfigurationError
from pelton.runtime.spec import TableSpec
from pelton.state.contract import Store, TableWrites

__all__ = ["FACTS_TABLE", "settle_facts"]

logger = logging.getLogger(__name__)

#: Where a store keeps them; no table of a program has such a name.
FACTS_TABLE = "@facts"
_APP = b"app"


def settle_facts(store: Store, app_id: str, tables: Iterable[TableSpec], counts: Mapping[str, int]) -> None:
    """Compare what a store says of itself with what it is opened for; wipe what differs, and note what is true now.

    counts: changelog topic -> number of partitions.
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
            store.wipe(spec.name)
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
