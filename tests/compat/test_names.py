"""Every public name of Faust's is accounted for: it works, or it is refused with a hint, or it was never a program's.

A new version of Faust that adds a name fails here, until somebody has decided what becomes of it.
"""

from __future__ import annotations

from typing import Any

import faust
import pytest
from faust.agents.agent import Agent as FaustAgent
from faust.tables.sets import SetTable as FaustSetTable
from faust.tables.table import Table as FaustTable
from faust.tables.wrappers import WindowSet as FaustWindowSet
from faust.tables.wrappers import WindowWrapper
from mode import Service

import pelton
from pelton import App
from pelton.errors import ConfigurationError
from pelton.stream.refused import Refused

#: How Faust's parts talk to each other; a program has no business with them, and ours talk otherwise.
PLUMBING = {
    "App": "",
    "Topic": """as_future_message clone clone_using_queue deliver has_prefix on_stop_iteration pattern prepare_headers
        publish_message subscriber_count""",
    "Channel": """as_future_message clone clone_using_queue declare deliver derive maybe_declare on_stop_iteration
        prepare_headers prepare_key prepare_value publish_message subscriber_count""",
    "Stream": """active_partitions clone concurrency_index contribute_to_stream derive_topic enable_acks events_total
        get_active_stream get_root_stream info join_strategy on_merge outbox prefix remove_from_stream task_owner
        throw""",
    "Agent": """actor_from_stream channel_iterator clone info on_isolated_partitions_assigned
        on_isolated_partitions_revoked on_partitions_assigned on_partitions_revoked on_shared_partitions_assigned
        on_shared_partitions_revoked""",
    "Table": """WindowWrapper apply_changelog_batch call_recover_callbacks clone contribute_to_stream fromkeys info
        need_active_standby_for on_clear on_key_del on_key_get on_key_set on_rebalance on_recovery_completed
        partition_for_key persisted_offset raw_update remove_from_stream send_changelog""",
    "SetTable": """Manager WindowWrapper apply_changelog_batch call_recover_callbacks clone contribute_to_stream
        fromkeys info manager_topic_suffix need_active_standby_for on_clear on_key_del on_key_get on_key_set
        on_rebalance on_recovery_completed partition_for_key persisted_offset raw_update remove_from_stream
        send_changelog""",
    "WindowedTable": "ValueType clone get_relative_timestamp get_timestamp key_index on_del_key on_set_key",
    "WindowSet": "",
    "Event": "",
}

#: What `pelton.App` takes over from Faust as it is, and what of it means nothing: nobody sets or calls it.
INHERITED = """
    SCAN_CATEGORIES Settings Worker cache client_only conf config_from_object configured discover finalize finalized
    http_client in_worker main monitor on_after_configured on_before_configured on_before_shutdown on_configured
    on_init_extra_service on_partitions_assigned on_partitions_revoked on_produce_message on_rebalance_complete
    on_started_init_extra_services on_started_init_extra_tasks on_started_init_web_server on_webserver_init
    on_worker_init producer_only router serializers service topic_route trace traced tracer web
    web_server web_server_driver_version web_server_url worker_init worker_init_post_autodiscover
"""
INERT = """
    consumer_generation_id create_event in_recovery in_transaction on_rebalance_end on_rebalance_return
    on_rebalance_start rebalancing rebalancing_count unassigned
"""

PAIRS: list[tuple[type, type]] = [
    (faust.App, pelton.App),
    (faust.Topic, pelton.Topic),
    (faust.Channel, pelton.Channel),
    (faust.Stream, pelton.Stream),
    (FaustAgent, pelton.Agent),
    (FaustTable, pelton.Table),
    (FaustSetTable, pelton.SetTable),
    (WindowWrapper, pelton.WindowedTable),
    (FaustWindowSet, pelton.WindowSet),
    (faust.Event, pelton.Event),
]

#: Attributes that `__init__` makes, so that the class does not show them.
MADE_LATER = {"Agent": {"channel"}, "Channel": {"queue"}, "WindowedTable": {"name"}}


def public(type_: type) -> set[str]:
    return {name for name in dir(type_) if not name.startswith("_") and not hasattr(Service, name)}


@pytest.mark.parametrize(("theirs", "ours"), PAIRS, ids=lambda type_: type_.__name__)
def test_no_name_of_faust_is_missing_in_silence(theirs: type, ours: type) -> None:
    missing = {name for name in public(theirs) if not hasattr(ours, name)}
    assert missing - MADE_LATER.get(ours.__name__, set()) == set(PLUMBING[ours.__name__].split())


def test_what_the_app_inherits_is_known() -> None:
    ours = {name for part in App.__mro__ if part.__module__.startswith("pelton.") for name in vars(part)}
    assert public(faust.App) - ours == set(f"{INHERITED} {INERT}".split())


def refused_names() -> list[tuple[type, str]]:
    return [(ours, name) for _, ours in PAIRS for name in dir(ours) if isinstance(getattr(ours, name), Refused)]


@pytest.fixture
def parts() -> dict[type, Any]:
    """Return one object of each class that has names to refuse."""
    app = App("names")

    @app.agent()
    async def agent(stream: pelton.Stream[Any]) -> None:
        async for _ in stream:
            pass

    table = app.Table("table", default=int)
    event: Any = pelton.Event.__new__(pelton.Event)
    return {
        App: app,
        pelton.Topic: app.topic("topic"),
        pelton.Channel: app.channel(),
        pelton.Stream: pelton.Stream(None, None, app.repartition),
        pelton.Agent: agent,
        pelton.Table: table,
        pelton.SetTable: app.SetTable("sets"),
        pelton.WindowedTable: app.Table("windowed").tumbling(1),
        pelton.WindowSet: app.Table("more").tumbling(1)["key"],
        pelton.Event: event,
    }


def test_refused_names_say_what_to_do_instead(parts: dict[type, Any]) -> None:
    assert len(refused_names()) > 30
    for ours, name in refused_names():
        with pytest.raises(ConfigurationError, match=name) as caught:
            getattr(parts[ours], name)
        assert caught.value.hint, name


@pytest.mark.parametrize(
    "declare",
    [
        lambda app: app.topic(pattern="orders-.*"),
        lambda app: app.topic("orders", schema=object()),
        lambda app: app.channel(schema=object()),
        lambda app: app.stream(app.topic("orders")),
        lambda app: app.stream([1, 2, 3]),
        lambda app: app.LiveCheck(),
        lambda app: app.agent(on_error=print),
        lambda app: app.agent(schema=object()),
        lambda app: app.Table("t", on_window_close=print),
        lambda app: app.Table("t", on_changelog_event=print),
        lambda app: app.Table("t", changelog_topic=app.topic("mine")),
        lambda app: app.Table("t", schema=object()),
        lambda app: App("other", Stream="mine:Stream"),
        lambda app: App("other", TableManager="mine:TableManager"),
        lambda app: App("other", agent_supervisor="mode.CrashingSupervisor"),
        lambda app: app.topic(),
    ],
)
def test_what_cannot_work_is_refused_where_it_is_declared(declare: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        declare(App("refusing"))
    assert caught.value.hint


@pytest.mark.parametrize(
    "declare",
    [
        lambda app: app.topic("orders", value_typ=int),
        lambda app: app.agent(app.topic("orders"), concurency=3),
        lambda app: app.Table("t", defualt=int),
        lambda app: app.channel(max_size=3),
    ],
)
def test_a_misspelt_argument_is_an_error(declare: Any) -> None:
    with pytest.raises(TypeError):
        declare(App("misspelling"))


@pytest.mark.parametrize(("name", "meant"), [("brokr", "broker"), ("comit_interval_ms", "commit_interval_ms")])
def test_a_misspelt_setting_is_an_error(name: str, meant: str) -> None:
    with pytest.raises(ConfigurationError, match=f"unknown setting '{name}'\nhint: did you mean {meant}"):
        App("misspelling", **{name: 1})


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_old_names_of_settings_are_understood() -> None:
    assert App("old-names", default_partitions=3).conf.topic_partitions == 3


def test_arguments_that_change_nothing_are_accepted(caplog: pytest.LogCaptureFixture) -> None:
    app = App("accepting", store="rocksdb://", stream_wait_empty=False, producer_acks=-1, broker_commit_every=10)
    app.topic("orders", acks=True, maxsize=10, has_prefix=True)
    app.Table("t", store="memory://", recovery_buffer_size=1, standby_buffer_size=1, use_partitioner=True, options={})
    app.agent(isolated_partitions=True, use_reply_headers=True)
    assert not caplog.records
    app.agent(supervisor_strategy=object)
    assert "supervisor_strategy" in caplog.text


async def test_a_signal_that_is_never_sent_is_refused_at_the_start() -> None:
    app = App("signals")

    @app.on_produce_message.connect
    def stamp(*args: Any, **options: Any) -> None:
        """Nobody calls this."""

    with pytest.raises(ConfigurationError, match="on_produce_message"):
        await app.start()
    await app.stop()
    app.on_produce_message.disconnect(stamp)  # signals know an app by its address, which the next one may get
