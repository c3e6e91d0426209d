"""The real Kafka Connect: its file connectors, and Debezium on a real PostgreSQL, by the files of deploy/connect.

Customers change without a pause, and so does their table's schema, while Connect, the database and the worker are
killed. In the end the table is equal to the database's.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from random import Random
from threading import Event, Thread
from typing import Any

import psutil
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row

from pelton.connect.applying import apply
from pelton.connect.kafka_connect import Connector, KafkaConnect
from pelton.errors import ConfigurationError
from pelton.testing.broker import Cluster
from pelton.testing.connect import ConnectWorker
from tests.app.bank_process import ROOT, Bank
from tests.patience import PATIENCE_S
from tests.retention import KEEP_ALL
from tests.servers import Server, postgres

#: A database, a broker, Connect and a worker come up, and the first time Connect's jars are downloaded.
pytestmark = pytest.mark.timeout(600)

DEPLOY = ROOT / "deploy" / "connect"
SINK = "org.apache.kafka.connect.file.FileStreamSinkConnector"
NOTES = "".join(f"{number:x}" for number in range(6_000))  # longer than a page: PostgreSQL keeps it elsewhere (TOAST)


class Database:
    """The customers' database, that can be killed, and a thread that changes it without a pause."""

    def __init__(self, url: str, server: Server) -> None:
        self._url = url
        self._server = server
        self._stop = Event()
        self._writer = Thread(target=self._write, daemon=True)
        self.transactions = 0
        self.fault: Exception | None = None

    @property
    def variables(self) -> dict[str, str]:
        """The environment that the connector's configuration names."""
        parts = conninfo_to_dict(self._url)
        named = {"HOST": "host", "PORT": "port", "NAME": "dbname", "USER": "user"}
        return {f"CUSTOMERS_DB_{name}": str(parts[part]) for name, part in named.items()} | {
            "CUSTOMERS_DB_PASSWORD": "any: it trusts those of this machine"
        }

    def run(self, *statements: str) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def rows(self) -> dict[str, dict[str, Any]]:
        """Return the table as Debezium writes it, but for times, which are times."""
        with psycopg.connect(self._url, row_factory=dict_row) as connection:
            found = connection.execute("SELECT * FROM customers").fetchall()
        for row in found:
            row["credit_limit"] = str(row["credit_limit"])
            row["born"] = row["born"] and f"{row['born']}Z"
        return {row["account"]: row for row in found}

    def kill(self) -> None:
        """End it as a power cut would, and start it again."""
        children = psutil.Process(self._server.process.pid).children()
        self._server.kill()
        psutil.wait_procs(children, PATIENCE_S)  # the shared memory is theirs, too
        self._server.start()

    def start_load(self) -> None:
        self._writer.start()

    def end_load(self) -> None:
        self._stop.set()
        self._writer.join(PATIENCE_S)
        assert not self._writer.is_alive()
        if self.fault is not None:
            raise self.fault

    def _write(self) -> None:
        rng = Random(11)
        while not self._stop.is_set():
            try:
                with psycopg.connect(self._url) as connection:
                    self._change_until_stopped(connection, rng)
            except psycopg.OperationalError:
                self._stop.wait(0.05)  # it is down, or just coming up
            except Exception as error:
                self.fault = error
                return

    def _change_until_stopped(self, connection: psycopg.Connection[Any], rng: Random) -> None:
        while not self._stop.wait(0.01):
            with connection.transaction():
                for _ in range(rng.randrange(1, 4)):
                    self._change(connection, rng)
            self.transactions += 1

    @staticmethod
    def _change(connection: psycopg.Connection[Any], rng: Random) -> None:
        account, kind = f"acc-{rng.randrange(200):05d}", rng.random()
        if kind < 0.4:
            connection.execute(
                "INSERT INTO customers (account, name, credit_limit, born, notes) VALUES (%s, %s, %s, %s, %s)"
                " ON CONFLICT (account) DO UPDATE SET name = excluded.name, updated = now()",
                (account, f"Ada {rng.random()}", rng.randrange(10_000) / 100, "1990-02-03", NOTES),
            )
        elif kind < 0.7:
            connection.execute(
                "UPDATE customers SET credit_limit = credit_limit + 1, updated = now() WHERE account = %s", (account,)
            )
        elif kind < 0.8:
            moved = (f"acc-{rng.randrange(200, 400):05d}", account)
            connection.execute(
                "UPDATE customers SET account = %s WHERE account = %s AND NOT EXISTS"
                " (SELECT FROM customers WHERE account = %s)",
                (*moved, moved[0]),
            )
        else:
            connection.execute("DELETE FROM customers WHERE account = %s", (account,))


class Scene:
    """The bank on a Kafka of its own, with Kafka Connect and the customers' database beside it."""

    def __init__(self, directory: Path, database: Database, kafka: Cluster) -> None:
        self.database = database
        self.kafka = kafka
        self.terminals_in = directory / "terminals-in.log"
        self.terminals_out = directory / "terminals-out.jsonl"
        self.terminals_in.touch()
        files = {"TERMINALS_IN": str(self.terminals_in), "TERMINALS_OUT": str(self.terminals_out)}
        self.connect = ConnectWorker(
            kafka.bootstrap,
            directory / "connect",
            port=0,
            quick_start=True,
            environment=database.variables | files,
        )
        self.bank = Bank(directory, f"kafka://{kafka.bootstrap}", "bank")
        self._lines = 0
        self._marks = 0

    def write_lines(self, number: int) -> None:
        """Let a terminal log payments."""
        with self.terminals_in.open("a") as file:
            file.writelines(f"{1000 + self._lines + n:.3f} 5.00 approved shop-1\n" for n in range(number))
        self._lines += number

    async def until_customers(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait until the customers of the worker's page are as they should be, and return them."""
        found = await self.bank.until_answer("/customers", lambda answer: condition(answer["customers"]))
        return dict(found["customers"])

    async def until_equal(self, expected: dict[str, Any]) -> None:
        """Wait until the worker's customers are the expected rows; what differs in the end is told."""
        try:
            await self.until_customers(lambda customers: timed(customers) == expected)
        except TimeoutError:
            _, found = await self.bank.get("/customers")
            assert timed(found["customers"]) == expected

    async def until_alive(self) -> None:
        """Wait until a change in the database is in the table."""
        self._marks += 1
        account = f"mark-{self._marks}"
        self.database.run(f"INSERT INTO customers (account, name) VALUES ('{account}', 'one that was waited for')")
        await self.until_customers(lambda customers: account in customers)

    async def until_lines(self) -> None:
        """Wait until the worker has seen each line once, and each is in the file that goes out."""
        await self.bank.until_answer("/hub", lambda page: [one["tried"] for one in page["terminals"]] == [self._lines])
        async with asyncio.timeout(PATIENCE_S):
            while self._out() != {1000.0 + number for number in range(self._lines)}:  # noqa: ASYNC110 - a file
                await asyncio.sleep(0.1)

    def _out(self) -> set[float]:
        text = self.terminals_out.read_text() if self.terminals_out.exists() else ""
        return {json.loads(line)["ts"] for line in text.splitlines(keepends=True) if line.endswith("\n")}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    directory = tmp_path_factory.mktemp("connect")
    with ExitStack() as stack:
        database = Database(*stack.enter_context(postgres(wal_level="logical")))
        database.run((DEPLOY / "customers.sql").read_text())
        kafka = stack.enter_context(Cluster(1, directory / "kafka", port=0, quick_start=True, properties=KEEP_ALL))
        scene = Scene(directory, database, kafka)
        stack.enter_context(pytest.MonkeyPatch.context()).setenv("KAFKA_CONNECT_URL", scene.connect.url)
        stack.callback(scene.connect.kill)
        scene.connect.launch()
        stack.enter_context(scene.bank).start()
        scene.connect.await_ready()
        yield scene


async def test_a_connector_is_applied_explained_changed_and_deleted(scene: Scene, tmp_path: Path) -> None:
    place = tmp_path / "not-there-yet" / "out.txt"
    config = {"connector.class": SINK, "tasks.max": "1", "topics": "cases", "file": str(place)}
    connector, told = Connector("to-a-file", config), list[str]()
    async with KafkaConnect(scene.connect.url, PATIENCE_S) as cluster:
        with pytest.raises(
            ConfigurationError, match=r"(?s)task 0 on .* failed:.*Couldn't find or create.*because NoSuch"
        ):
            await apply(cluster, connector, PATIENCE_S, told.append)
        place.parent.mkdir()
        await apply(cluster, connector, PATIENCE_S, told.append)
        assert told == ["to-a-file: starting it", "to-a-file: stopping it", "to-a-file: starting it"]
        await apply(cluster, connector, PATIENCE_S, told.append)
        assert len(told) == 3

        changed = Connector(connector.name, {**config, "topics": "alerts"})
        await apply(cluster, changed, PATIENCE_S, told.append)
        assert await cluster.config(connector.name) == changed.config
        status = await cluster.status(connector.name)
        assert status is not None
        assert (status.running, status.type) == (True, "sink")

        wrong = Connector(connector.name, {**config, "tasks.max": "many"})
        with pytest.raises(ConfigurationError, match=r"tasks\.max: Invalid value many"):
            await apply(cluster, wrong, PATIENCE_S, told.append)
        with pytest.raises(ConfigurationError, match=r"find any class .* a\.b\.Missing"):
            await apply(cluster, Connector("x", {"connector.class": "a.b.Missing"}), PATIENCE_S, told.append)
        assert await cluster.config(connector.name) == changed.config

        assert await cluster.delete(connector.name)
        assert not await cluster.delete(connector.name)
        assert connector.name not in await cluster.names()


async def test_the_commands_show_apply_tell_and_delete(scene: Scene, tmp_path: Path) -> None:
    run, file = scene.bank.command, tmp_path / "by-command.json"
    config = {"connector.class": SINK, "tasks.max": "1", "topics": "cases", "file": str(tmp_path / "out.txt")}

    def told(*words: str, status: int = 0) -> list[str]:
        return run("connect", *words, status=status).splitlines()

    def write(**changed: str) -> None:
        file.write_text(json.dumps({"name": "by-command", "config": {**config, **changed}}))

    async with KafkaConnect(scene.connect.url, PATIENCE_S) as cluster:
        write()
        said = told("apply", "--dry-run", str(file), status=1)
        assert said[0] == "by-command: new"
        assert "by-command" not in await cluster.names(), "it only shows"
        running = "by-command: sink RUNNING, 1 task RUNNING"
        assert told("apply", str(file))[-1] == running
        assert told("apply", "--dry-run", str(file)) == ["by-command: as configured"]

        write(topics="alerts")
        said = told("apply", "--dry-run", str(file), status=1)
        assert said[0] == "by-command: differs"
        assert any("topics" in line and "alerts" in line for line in said[1:])
        assert (await cluster.config("by-command") or {})["topics"] == "cases", "it only shows"
        assert told("apply", str(file))[-1] == running
        assert (await cluster.config("by-command") or {})["topics"] == "alerts"
        assert running in told("status")

        assert told("delete", "by-command", status=1)[-1].startswith("delete by-command from"), "nobody said yes"
        assert "by-command" in await cluster.names()
        assert told("delete", "--yes", "by-command") == ["by-command: deleted"]
        assert "by-command" not in await cluster.names()
        assert told("delete", "--yes", "by-command", status=1) == []
        assert running not in told("status")


async def test_the_table_equals_the_database_whatever_is_killed(scene: Scene) -> None:
    database, bank = scene.database, scene.bank
    database.run("INSERT INTO customers (account, name) VALUES ('first', 'one from before the connector')")
    said = bank.command("connect", "apply", str(DEPLOY))
    assert "customers: new" in said
    assert "customers: source RUNNING, 1 task RUNNING" in said
    scene.write_lines(50)
    database.start_load()
    await scene.until_customers(lambda customers: len(customers) > 20 and "first" in customers)

    scene.connect.kill()
    scene.write_lines(50)
    scene.connect.start()
    await scene.until_alive()

    database.kill()
    await scene.until_alive()

    scene.kafka.kill(1)  # under Connect, the worker and the load on the database
    scene.write_lines(50)
    scene.kafka.restart(1)
    await scene.until_alive()

    database.run(
        "ALTER TABLE customers ADD COLUMN tier text DEFAULT 'basic', DROP COLUMN segment",
        "INSERT INTO debezium_signals VALUES (gen_random_uuid(), 'execute-snapshot',"
        """ '{"data-collections": ["public.customers"], "type": "incremental"}')""",
    )
    database.run("INSERT INTO customers (account, name, tier) VALUES ('no-tier', 'null, and not what is usual', NULL)")
    bank.kill()
    scene.write_lines(50)
    bank.start()
    await scene.until_alive()

    database.end_load()
    assert database.transactions > 100
    expected = database.rows()
    await scene.until_customers(lambda customers: customers.keys() == expected.keys())
    await scene.until_equal(expected)
    assert (expected["first"]["tier"], expected["no-tier"]["tier"]) == ("basic", None)
    assert any(row["notes"] == NOTES for row in expected.values())
    await scene.until_lines()
    assert "customers: source RUNNING, 1 task RUNNING" in bank.command("connect", "status")
    assert "no dead letters" in bank.command("dlq", "list")


def timed(customers: dict[str, Any]) -> dict[str, Any]:
    """Return rows with their times as times."""
    return {account: {**row, "updated": datetime.fromisoformat(row["updated"])} for account, row in customers.items()}
