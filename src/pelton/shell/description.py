"""What an application consists of, and how evenly its records lie in its topics."""

# pyright: basic
# It asks Faust's settings, which are only partly typed; mypy checks it strictly all the same.
from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pelton.batch import TopicPartition
from pelton.console.graph import Edge
from pelton.errors import OffsetOutOfRangeError
from pelton.log.contract import Log, TopicSpec
from pelton.runtime.spec import Program
from pelton.shell.program import build_program
from pelton.shell.topology import graph_of

if TYPE_CHECKING:
    from pelton.shell.app import App

__all__ = [
    "AgentDescription",
    "Description",
    "KeySample",
    "TableDescription",
    "TopicDescription",
    "describe",
    "topic_roles",
]

#: Of each partition, so many of the newest records are looked at for their keys.
SAMPLE_RECORDS = 1_000
_READ_BYTES = 1024 * 1024
_READ_S = 5.0
_SECRET = "(set, not shown)"  # noqa: S105 - it is what is shown instead of one


@dataclass(frozen=True, slots=True)
class KeySample:
    """The keys of a topic's newest records.

    records: how many were looked at. distinct: how many keys they have. hottest, share: the key that most of them
    have, as text, and what part of them, 0 to 1. Records without a key are left out.
    """

    records: int
    distinct: int
    hottest: str
    share: float


@dataclass(frozen=True, slots=True)
class TopicDescription:
    """A topic, as declared and as it is.

    roles: what it is to the application: "source", "output", "changelog". declared: partitions as declared, None where
    the program does not say. records: offsets that each partition spans; empty when the topic does not exist yet.
    retention_ms: None is the log's default, -1 for ever. keys: None where nothing has a key, or nobody looked.
    """

    name: str
    roles: Sequence[str]
    declared: int | None
    cleanup_policy: str
    retention_ms: int | None
    replicas: int | None
    records: Sequence[int]
    keys: KeySample | None = None

    @property
    def skew(self) -> float | None:
        """How many times the mean the fullest partition holds: 1 is even. None with one partition, or no records."""
        total = sum(self.records)
        return max(self.records) * len(self.records) / total if total and len(self.records) > 1 else None


@dataclass(frozen=True, slots=True)
class AgentDescription:
    """An agent: what it reads, the tables its code uses, the topics it sends to, and its lanes for each partition."""

    name: str
    reads: Sequence[str]
    tables: Sequence[str]
    sends: Sequence[str]
    concurrency: int


@dataclass(frozen=True, slots=True)
class TableDescription:
    """A table; sizes and retentions in milliseconds, None where there are no windows, or no history."""

    name: str
    changelog: str
    window_size_ms: int | None
    retention_ms: int | None
    history_ms: int | None
    replicated: bool


@dataclass(frozen=True, slots=True)
class Description:
    """The whole: settings by name, with secrets left out, agents, tables and topics by their names."""

    application: str
    settings: Mapping[str, Any]
    agents: Sequence[AgentDescription]
    tables: Sequence[TableDescription]
    topics: Sequence[TopicDescription]

    def as_json(self) -> Mapping[str, Any]:
        """Return it as what JSON can hold, with each topic's skew."""
        told = asdict(self)
        for topic, description in zip(told["topics"], self.topics, strict=True):
            topic["skew"] = description.skew
        return told


async def describe(app: App, log: Log, *, sample: int = SAMPLE_RECORDS) -> Description:
    """Return the description of an application whose log is open.

    sample: how many of the newest records of each partition of its sources are read for their keys; 0 for none.
    Raises: ConfigurationError, UnavailableError.
    """
    program = await build_program(app)
    edges = graph_of(app, program).edges
    return Description(
        str(app.conf.id),
        _settings(app),
        [
            AgentDescription(name, sorted(spec.sources), sorted(spec.tables), _sends(edges, name), spec.concurrency)
            for name, spec in sorted(program.agents.items())
        ],
        [
            TableDescription(
                name,
                spec.changelog.name,
                spec.window_size_ms,
                spec.retention_ms,
                spec.history.retention_ms if spec.history is not None else None,
                spec.replicated,
            )
            for name, spec in sorted(program.tables.items())
        ],
        await _topics(program, log, sample),
    )


def _sends(edges: Iterable[Edge], agent: str) -> list[str]:
    """Return the topics that an agent sends to, those of changelogs included."""
    targets = (edge.target.partition(":") for edge in edges if edge.source == f"agent:{agent}")
    return sorted(name for kind, _, name in targets if kind in ("topic", "changelog"))


def _settings(app: App) -> dict[str, Any]:
    conf = app.conf
    return {
        "broker": ";".join(map(str, conf.broker)),
        "broker_credentials": _SECRET if conf.broker_credentials else None,
        "processing_guarantee": app.guarantee,
        "datadir": str(conf.datadir),
        "topic_partitions": conf.topic_partitions,
        "table_standby_replicas": conf.table_standby_replicas,
        "broker_session_timeout_s": conf.broker_session_timeout,
        "broker_heartbeat_interval_s": conf.broker_heartbeat_interval,
        "consumer_group_instance_id": getattr(conf, "consumer_group_instance_id", None) or None,
        "web": f"{conf.web_bind}:{conf.web_port}" if conf.web_enabled else None,
        "web_token": _SECRET if app.web_token is not None else None,
        **asdict(app.config),
    }


# -- topics ----------------------------------------------------------------------------------------


async def _topics(program: Program, log: Log, sample: int) -> list[TopicDescription]:
    specs, roles = topic_roles(program)
    counts = await log.partitions(specs)
    spans = await log.offsets(TopicPartition(name, number) for name, count in counts.items() for number in range(count))
    found: list[TopicDescription] = []
    for name, spec in sorted(specs.items()):
        of_topic = {partition: span for partition, span in spans.items() if partition.topic == name}
        keys = None
        if sample and "source" in roles[name]:
            newest = {partition: max(span.start, span.end - sample) for partition, span in of_topic.items()}
            keys = await _keys(log, newest, {partition: span.end for partition, span in of_topic.items()})
        records = [span.end - span.start for _, span in sorted(of_topic.items())]
        declared = (spec.partitions, spec.cleanup_policy, spec.retention_ms, spec.replicas)
        found.append(TopicDescription(name, sorted(roles[name]), *declared, records, keys))
    return found


def topic_roles(program: Program) -> tuple[dict[str, TopicSpec], dict[str, set[str]]]:
    """Return the topics, and what each is to the application."""
    groups = {
        "source": program.sources(),
        "changelog": {spec.changelog.name: spec.changelog for spec in program.tables.values()},
        "output": program.outputs,
    }
    specs: dict[str, TopicSpec] = {}
    roles: dict[str, set[str]] = {}
    for role, topics in groups.items():
        for name, spec in topics.items():
            specs.setdefault(name, spec)
            if role != "output" or name not in roles:
                roles.setdefault(name, set()).add(role)
    return specs, roles


async def _keys(log: Log, newest: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]) -> KeySample | None:
    """Count the keys of what lies between two offsets of each partition."""
    counts: Counter[bytes] = Counter()
    for partition, start in newest.items():
        offset = start
        while offset < ends[partition]:
            try:
                batch = await log.read(partition, offset, bytes_max=_READ_BYTES, timeout_s=_READ_S)
            except OffsetOutOfRangeError:  # deleted meanwhile
                break
            counts.update(key for key in batch.keys if key is not None)
            if batch.next_offset <= offset:
                break
            offset = batch.next_offset
    if not counts:
        return None
    ((hottest, count),) = counts.most_common(1)
    return KeySample(counts.total(), len(counts), hottest.decode(errors="backslashreplace"), count / counts.total())
