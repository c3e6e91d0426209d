"""One worker of a Kafka Connect cluster: start, stop, crash, restart."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.error import URLError
from urllib.request import urlopen

from pelton.errors import UnavailableError
from pelton.testing.broker import free_ports
from pelton.testing.broker.cluster import JARS
from pelton.testing.broker.jvm import KAFKA_VERSION, LOG4J_COORDINATES, Jars, Progress, classpath, find_java
from pelton.testing.broker.layout import HOST
from pelton.testing.broker.program import (
    LOG4J,
    LOG4J_OPTION,
    POLL_S,
    QUICK_START,
    launch,
    living,
    tail,
    wait_until,
)

__all__ = ["DEBEZIUM_VERSION", "ConnectWorker"]

DEBEZIUM_VERSION = "3.6.1.Final"
#: Named although Connect depends on them: mediation alone has picked older ones, which its web server cannot work with.
JAKARTA = (
    "jakarta.annotation:jakarta.annotation-api:2.1.1",
    "jakarta.inject:jakarta.inject-api:2.0.1",
    "jakarta.servlet:jakarta.servlet-api:6.0.0",
    "jakarta.validation:jakarta.validation-api:3.0.2",
    "jakarta.ws.rs:jakarta.ws.rs-api:3.1.0",
)
#: All in one resolution, so that what both depend on is there once.
CONNECT_JARS = Jars(
    f"connect-{KAFKA_VERSION}-debezium-{DEBEZIUM_VERSION}",
    (
        *(
            f"org.apache.kafka:{artifact}:{KAFKA_VERSION}"
            for artifact in ("connect-runtime", "connect-file", "connect-json", "connect-transforms", "kafka-clients")
        ),
        f"io.debezium:debezium-connector-postgres:{DEBEZIUM_VERSION}",
        *JAKARTA,
        *LOG4J_COORDINATES,
    ),
    (),
    "41 MB",
)
START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 20.0
PROBE_TIMEOUT_S = 5.0


class ConnectWorker:
    """A worker of Kafka Connect in distributed mode, as a context manager or by `start()` and `stop()`.

    It ends with this process, even if that is killed.

    bootstrap: of the Kafka that it works on. Workers of one group there are one cluster, whatever their directories.
    directory: holds configuration and log. port: of the REST interface; 0 takes a free one.
    group: names the cluster, and its three topics <group>-configs, -offsets, -status.
    plugins: a directory of further connectors, each in a directory of its own.
    environment: variables that connectors' configurations may name, as in ${env:NAME}, beside those of this process.
    jars, heap_mib, quick_start, progress: as those of `pelton.testing.broker.Cluster`.
    properties: worker settings that override those of `worker_properties`.
    """

    def __init__(
        self,
        bootstrap: str,
        directory: Path | str = Path(".kafka/connect"),
        port: int = 8083,
        *,
        group: str = "connect",
        plugins: Path | None = None,
        environment: Mapping[str, str] | None = None,
        jars: Path | str = JARS,
        heap_mib: int = 384,
        quick_start: bool = False,
        properties: Mapping[str, object] | None = None,
        progress: Progress = lambda _: None,
    ) -> None:
        self.directory = Path(directory).resolve()
        self.url = f"http://{HOST}:{port or free_ports(1)[0]}"
        self.log = self.directory / "connect.log"
        self._pid_file = self.directory / "pid"
        self._properties = worker_properties(bootstrap, self.url, group) | dict(properties or {})
        if plugins is not None:
            self._properties |= {"plugin.path": plugins.resolve(), "plugin.discovery": "hybrid_warn"}
        self._environment = dict(environment or {})
        self._jars = Path(jars)
        self._jvm_options = (f"-Xmx{heap_mib}m", LOG4J_OPTION, *(QUICK_START if quick_start else ()))
        self._progress = progress
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the worker and return when it is healthy: in its group, and answering.

        Raises: ConfigurationError when it runs already; UnavailableError when it ends or is not healthy in time.
            Nothing is left running then.
        """
        self.launch()
        try:
            self.await_ready()
        except BaseException:
            self.kill()
            raise

    def launch(self) -> None:
        """Start the worker, and do not wait for it. Raises: ConfigurationError when it runs already."""
        java, jars = find_java(), classpath(self._jars, CONNECT_JARS, self._progress)
        self.directory.mkdir(parents=True, exist_ok=True)
        lines = (f"{name}={value}\n" for name, value in self._properties.items())
        (self.directory / "connect.properties").write_text("".join(lines))
        (self.directory / "log4j2.properties").write_text(LOG4J)
        main = "org.apache.kafka.connect.cli.ConnectDistributed"
        command = [str(java), *self._jvm_options, "-cp", jars, main, "connect.properties"]
        self._progress(f"starting Kafka Connect {KAFKA_VERSION} on {self.url}")
        self._child = launch(
            "Kafka Connect", command, self.directory, self.log, self._pid_file, variables=self._environment
        )

    def await_ready(self) -> None:
        """Return when the launched worker is healthy. Raises: UnavailableError when it ends, or is not in time."""

        def ready() -> bool:
            self._refuse_dead()
            return self._healthy()

        wait_until(ready, START_TIMEOUT_S, f"Kafka Connect on {self.url}", f"see {self.log}")

    def stop(self) -> None:
        """Stop the worker cleanly, and kill it if it does not end in time; idempotent."""
        self._progress("stopping Kafka Connect")
        self._signal(signal.SIGTERM)
        try:
            wait_until(lambda: self.pid() is None, STOP_TIMEOUT_S, "the end of Kafka Connect", f"see {self.log}")
        except UnavailableError:
            self.kill()

    def kill(self) -> None:
        """End the worker by SIGKILL, as a crash would; return when its process is gone."""
        self._signal(signal.SIGKILL)
        wait_until(lambda: self.pid() is None, STOP_TIMEOUT_S, "the end of Kafka Connect", f"see {self.log}")

    def pid(self) -> int | None:
        """Return the worker's process, whoever started it; None when it does not run."""
        if self._child is None:
            return living(self._pid_file)
        return self._child.pid if self._child.poll() is None else None

    def wait(self) -> None:
        """Return when the worker ends. Raises: UnavailableError, with the end of its log."""
        while True:
            self._refuse_dead()
            time.sleep(POLL_S)

    def _signal(self, number: signal.Signals) -> None:
        pid = self.pid()
        if pid is not None:
            os.kill(pid, number)

    def _refuse_dead(self) -> None:
        if self._child is not None and self._child.poll() is not None:
            raise UnavailableError(f"Kafka Connect ended with {self._child.returncode}:\n{tail(self.log)}")

    def _healthy(self) -> bool:
        try:
            with urlopen(f"{self.url}/health", timeout=PROBE_TIMEOUT_S) as answer:  # noqa: S310 - our own address
                return bool(answer.status == 200)
        except (URLError, HTTPException, OSError):  # refused, or 503 while it starts
            return False


def worker_properties(bootstrap: str, url: str, group: str) -> dict[str, object]:
    """Return the settings of one worker, as connect-distributed.properties has them."""
    return {
        "bootstrap.servers": bootstrap,
        "listeners": url,
        "group.id": group,
        "config.storage.topic": f"{group}-configs",
        "offset.storage.topic": f"{group}-offsets",
        "status.storage.topic": f"{group}-status",
        # As many replicas as the brokers make by default.
        "config.storage.replication.factor": -1,
        "offset.storage.replication.factor": -1,
        "status.storage.replication.factor": -1,
        "offset.storage.partitions": 4,
        "status.storage.partitions": 2,
        "key.converter": "org.apache.kafka.connect.storage.StringConverter",
        "value.converter": "org.apache.kafka.connect.json.JsonConverter",
        "value.converter.schemas.enable": "false",
        # What a source connector has read and where it goes on are one transaction (KIP-618).
        "exactly.once.source.support": "enabled",
        # ${env:NAME} in a connector's configuration: secrets and addresses stay out of files and of Kafka.
        "config.providers": "env",
        "config.providers.env.class": "org.apache.kafka.common.config.provider.EnvVarConfigProvider",
        # Every plugin on the class path says in its manifest what it is; to scan all jars takes seconds.
        "plugin.discovery": "service_load",
        # Tests crash workers on purpose, and wait for the group to notice: at once, and not after five minutes.
        "session.timeout.ms": 6000,
        "heartbeat.interval.ms": 1500,
        "scheduled.rebalance.max.delay.ms": 0,
        "offset.flush.interval.ms": 2000,
        "task.shutdown.graceful.timeout.ms": 5000,
    }
