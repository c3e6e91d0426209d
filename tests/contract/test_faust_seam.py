"""What pelton.shell holds on to of Faust and mode, private names too: an upgrade that changes one fails here.

Each test says what the shell does with the name. See docs/decisions for why the shell subclasses `faust.App` at all.
"""

from __future__ import annotations

import inspect
from importlib.metadata import version
from pathlib import Path
from typing import Any

import faust
import pytest
from faust import Record
from faust.app.base import SCAN_AGENT, App, BootStrategy
from faust.app.router import Router
from faust.cli import base as cli
from faust.cli import reset as cli_reset
from faust.cli import send as cli_send
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth
from faust.utils.venusian import attach
from mode import Service, Worker
from mode.utils.objects import qualname
from yarl import URL

import pelton


def parameters(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)


def source(thing: Any) -> str:
    return inspect.getsource(thing)


def test_the_version_is_pinned() -> None:
    assert version("faust-streaming") == "0.15.3"


# -- the boot strategy: what a worker starts -------------------------------------------------------


def test_the_app_starts_what_its_boot_strategy_names() -> None:
    assert "self.boot_strategy = self.BootStrategy(self)" in source(App.__init__)
    chosen = source(App.on_init_dependencies)
    for mode in ("producer_only", "client_only", "server"):
        assert f"self.boot_strategy.{mode}()" in chosen


def test_a_boot_strategy_has_sensors_and_a_web_server() -> None:
    for name in ("sensors", "web_server", "server", "client_only", "producer_only"):
        assert parameters(getattr(BootStrategy, name)) == ["self"]
    assert "app" in parameters(BootStrategy.__init__)


def test_our_worker_starts_sensors_and_the_engine_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_WEB_ENABLED", "no")
    app = pelton.App("seam")
    services = [type(service).__name__ for service in app.boot_strategy.server()]
    assert services == ["Engine"], "sensors are added by on_init_dependencies, just before"


# -- the life of the app ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "on_start",
        "on_stop",
        "_wait_for_table_recovery_completed",
        "_maybe_close_http_client",
        "maybe_start_client",
        "maybe_start_producer",
        "start_client",
        "commit",
    ],
)
def test_what_our_app_overrides_or_calls_is_a_coroutine_without_arguments(name: str) -> None:
    theirs = getattr(App, name)
    required = [one for one in inspect.signature(theirs).parameters.values() if one.default is one.empty]
    assert [one.name for one in required] in (["self"], ["self", "topics"])
    ours = getattr(pelton.App, name)
    assert inspect.iscoroutinefunction(ours)


def test_the_app_waits_for_the_tables_before_tasks_and_services() -> None:
    started = source(App.on_started)
    steps = [
        "_wait_for_table_recovery_completed",
        "on_started_init_extra_tasks",
        "on_started_init_web_server",
        "on_started_init_extra_services",
        "on_startup_finished",
    ]
    positions = [started.index(step) for step in steps]
    assert positions == sorted(positions)


def test_the_commands_stop_the_producer_through_its_private_name() -> None:
    stop = source(cli.AppCommand.on_stop)
    assert "app._producer is not None and app._producer.started" in stop
    assert "await app._producer.stop()" in stop
    assert "await self.app.producer.stop()" in source(cli_send.send.run)


def test_names_that_our_app_answers_itself_are_asked_by_attribute() -> None:
    for name in ("transport", "producer", "tables", "consumer", "topics"):
        assert name in vars(App)
    assert "table.reset_state()" in source(cli_reset.reset.reset_tables)
    app = pelton.App("seam")
    assert app._producer is None, "the log is not open: there is nothing to stop"
    assert app.transport.driver_version == "pelton (sqlite)"


def test_agents_are_a_mapping_that_takes_ours() -> None:
    app = pelton.App("seam")

    @app.agent(app.topic("t"), name="seam.agent")
    async def agent(stream: pelton.Stream[Any]) -> None:
        async for _ in stream:
            pass

    assert dict(app.agents) == {"seam.agent": agent}
    assert app.agents.keys() == {"seam.agent"}


def test_the_command_line_reads_these_of_an_agent_and_its_channel() -> None:
    app = pelton.App("seam")

    @app.agent(app.channel())
    async def local(stream: pelton.Stream[Any]) -> None:
        """Say something."""

    assert local.help == "Say something."
    with pytest.raises(NotImplementedError):
        local.channel.get_topic_name()


def test_autodiscovery_scans_for_agents() -> None:
    assert SCAN_AGENT in App.SCAN_CATEGORIES
    assert parameters(attach)[:2] == ["fun", "category"]
    assert qualname(test_autodiscovery_scans_for_agents).endswith("test_autodiscovery_scans_for_agents")


# -- settings --------------------------------------------------------------------------------------


def test_settings_that_the_shell_reads(tmp_path: Path) -> None:
    conf = pelton.App("seam", datadir=str(tmp_path)).conf
    assert conf.id == "seam"
    assert [str(url) for url in conf.broker] == ["sqlite:"]
    assert conf.processing_guarantee.value == "exactly_once"
    assert (str(conf.key_serializer), str(conf.value_serializer)) == ("raw", "json")
    assert isinstance(conf.canonical_url, URL)
    assert conf.tabledir.is_relative_to(conf.datadir)
    assert conf.datadir == tmp_path
    numbers = (
        conf.broker_session_timeout,
        conf.broker_heartbeat_interval,
        conf.table_standby_replicas,
        conf.topic_partitions,
        conf.web_port,
    )
    assert all(isinstance(number, int | float) for number in numbers)
    assert conf.web_enabled is True
    assert conf.web_host
    assert conf.broker_client_id
    assert conf.broker_credentials is None
    assert conf.ssl_context is None
    assert hasattr(conf, "consumer_group_instance_id")


def test_the_store_setting_is_shown_and_never_opened() -> None:
    assert str(pelton.App("seam").conf.store) == "rocksdb:"


def test_credentials_become_arguments_of_aiokafka() -> None:
    auth = credentials_to_aiokafka_auth(faust.SASLCredentials(username="u", password="p", mechanism="PLAIN"), None)
    assert (auth["sasl_plain_username"], auth["sasl_plain_password"], auth["sasl_mechanism"]) == ("u", "p", "PLAIN")


# -- mode ------------------------------------------------------------------------------------------


def test_services() -> None:
    for name in ("crash", "wait_first", "add_runtime_dependency", "start", "stop"):
        assert inspect.iscoroutinefunction(getattr(Service, name))
    assert isinstance(vars(Service)["should_stop"], property)
    assert callable(Service.task)


def test_a_worker_ends_with_a_pause_that_ours_leaves_out() -> None:
    assert "self._sentinel_task()" in source(Worker._shutdown_loop)
    assert "await asyncio.sleep(1.0)" in source(Worker._sentinel_task)
    assert "self.start()" in source(Worker.execute_from_commandline)
    assert "return self._Worker(" in source(cli.Command.worker_for_service)
    assert "self.execute(*args, **kwargs)" in source(cli.Command.as_service)


async def test_signals() -> None:
    app, other = pelton.App("seam"), pelton.App("other")
    told: list[Any] = []

    @app.on_partitions_assigned.connect
    async def assigned(app: Any, partitions: Any, **_: Any) -> None:
        told.append((app, partitions))

    await other.on_partitions_assigned.send({1})
    await app.on_partitions_assigned.send({2})
    assert told == [(app, {2})]
    assert list(app.on_partitions_assigned.iter_receivers(app)) == [assigned]
    assert list(app.on_produce_message.iter_receivers(app)) == []


# -- models and routes -----------------------------------------------------------------------------


class Inner(Record):
    number: int


class Outer(Record, serializer="json"):
    inner: Inner


def test_records_are_taken_apart_and_put_together() -> None:
    assert parameters(Outer.from_data) == ["data", "preferred_type"]
    record = Outer.from_data({"inner": {"number": 1}}, preferred_type=Outer)
    assert record == Outer(inner=Inner(number=1))
    assert record.to_representation()["inner"] == Inner(number=1)
    assert Outer._options.serializer == "json"
    assert Inner._options.serializer is None


def test_a_sender_does_not_choose_the_class() -> None:
    data = {"number": 1, "__faust": {"ns": Outer._options.namespace}}
    assert type(Inner.from_data(data, preferred_type=Inner)) is Inner


def test_the_router_asks_these_of_itself() -> None:
    assert "app.router.key_store(table_name, key)" in source(Router.route_req)
    assert "app.router.external_topic_key_store(topic, key)" in source(Router.route_topic_req)
    assert "raise SameNode()" in source(Router._route_req)
    assert type(pelton.App("seam").router).__module__ == "pelton.shell.router"
    for name in ("key_store", "external_topic_key_store", "table_metadata", "tables_metadata"):
        assert parameters(getattr(Router, name)) == parameters(getattr(type(pelton.App("seam").router), name))
