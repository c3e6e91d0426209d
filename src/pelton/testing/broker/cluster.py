"""A cluster of real brokers: start, stop, crash, restart."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from pelton.errors import ConfigurationError, UnavailableError
from pelton.testing.broker.jvm import KAFKA_VERSION, Progress, find_java, kafka_classpath
from pelton.testing.broker.layout import HOST, Layout, Node, broker_properties
from pelton.testing.broker.metadata import living_brokers
from pelton.testing.broker.program import LOG4J, LOG4J_OPTION, POLL_S, QUICK_START, launch, run, wait_until
from pelton.testing.broker.secure import SecureListener, format_arguments, secure_properties

__all__ = ["Cluster"]

JARS = Path(".kafka/jars")
START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 20.0


class Cluster:
    """A Kafka cluster of this machine, as a context manager or by `start()` and `stop()`.

    brokers: 1 or more; each is a controller too.
    directory: holds data, configuration and logs; a cluster that is found there is continued.
    port: of the first broker, the others follow; 0 takes free ports. Kept in the directory for the next start.
    jars: where Kafka's jars are kept, shared by all clusters.
    heap_mib: of each broker.
    quick_start: let the JVM optimise less, which halves the CPU time of a start and slows down what follows.
    secure: listeners with TLS and SASL, beside the plain one.
    properties: broker settings that override those of `broker_properties`.
    lasting: whether the brokers go on when this process ends without `stop`; else they end with it, even if killed.
    progress: is told what is being waited for.
    """

    def __init__(
        self,
        brokers: int = 1,
        directory: Path | str = Path(".kafka/cluster"),
        port: int = 9092,
        *,
        jars: Path | str = JARS,
        heap_mib: int = 512,
        quick_start: bool = False,
        secure: Sequence[SecureListener] = (),
        properties: Mapping[str, object] | None = None,
        lasting: bool = False,
        progress: Progress = lambda _: None,
    ) -> None:
        self.directory = Path(directory).resolve()
        self._layout = Layout.plan(self.directory, brokers, port)
        self.nodes = self._layout.nodes(self.directory)
        self._jars = Path(jars)
        self._jvm_options = (
            f"-Xmx{heap_mib}m",
            LOG4J_OPTION,
            *(QUICK_START if quick_start else ()),
        )
        self._secure = tuple(secure)
        self._properties = dict(properties or {})
        self._lasting = lasting
        self._progress = progress
        self._children: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def bootstrap(self) -> str:
        """The address list that clients take: `host:port`, comma-separated."""
        return ",".join(f"{HOST}:{node.port}" for node in self.nodes)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start every broker and return when each of them answers clients and knows all others.

        Raises: ConfigurationError when it runs already, or a port is taken; UnavailableError when a broker
            ends or does not answer in time. Nothing is left running then.
        """
        self._refuse_taken()
        java, classpath = find_java(), kafka_classpath(self._jars, self._progress)
        self._layout.keep(self.directory)
        self._format(java, classpath)
        self._progress(f"starting Kafka {KAFKA_VERSION}: {len(self.nodes)} broker(s) on {self.bootstrap}")
        try:
            for node in self.nodes:
                self._launch(node, java, classpath)
            self._await_ready()
        except BaseException:
            self._kill_children()
            raise

    def stop(self) -> None:
        """Stop every broker cleanly, also those that another process started; idempotent.

        A broker that has not ended in time is killed: with the others gone it may wait for a quorum forever.
        """
        self._progress("stopping Kafka")
        for node in self.nodes:
            self._signal(node, signal.SIGTERM)
        try:
            self._wait(lambda: not self.running(), STOP_TIMEOUT_S, "the end of the brokers")
        except UnavailableError:
            for node in self.nodes:
                self._signal(node, signal.SIGKILL)
            self._wait(lambda: not self.running(), STOP_TIMEOUT_S, "the end of the killed brokers")
        self._children.clear()

    def kill(self, broker: int) -> None:
        """End one broker by SIGKILL, as a crash would; return when its process is gone. broker: from 1."""
        node = self._node(broker)
        self._signal(node, signal.SIGKILL)
        self._wait(lambda: not self._alive(node), STOP_TIMEOUT_S, f"the end of broker {broker}")

    def restart(self, broker: int) -> None:
        """Start one broker again, stopping it cleanly first if it runs; return when it answers. broker: from 1."""
        node = self._node(broker)
        self._signal(node, signal.SIGTERM)
        self._wait(lambda: not self._alive(node), START_TIMEOUT_S, f"the end of broker {broker}")
        self._launch(node, find_java(), kafka_classpath(self._jars, self._progress))
        self._await_ready()

    def running(self) -> Mapping[int, int]:
        """Return broker -> process id of those that run now, whoever started them."""
        pids = {node.id: self._pid(node) for node in self.nodes}
        return {broker: pid for broker, pid in pids.items() if pid is not None}

    def wait(self) -> None:
        """Return when a broker ends. Raises: UnavailableError, with the end of that broker's log."""
        while True:
            self._refuse_dead()
            time.sleep(POLL_S)

    def _node(self, broker: int) -> Node:
        if not 1 <= broker <= len(self.nodes):
            raise ConfigurationError(f"no broker {broker}: expected one from 1 to {len(self.nodes)}")
        return self.nodes[broker - 1]

    def _pid(self, node: Node) -> int | None:
        child = self._children.get(node.id)
        if child is None:
            return node.pid()
        return child.pid if child.poll() is None else None

    def _alive(self, node: Node) -> bool:
        return self._pid(node) is not None

    def _signal(self, node: Node, number: signal.Signals) -> None:
        pid = self._pid(node)
        if pid is not None:
            os.kill(pid, number)

    def _kill_children(self) -> None:
        for child in self._children.values():
            child.kill()
            child.wait()
        self._children.clear()

    def _refuse_taken(self) -> None:
        """Fail with a clear message on what a broker would only put into its log."""
        if running := self.running():
            raise ConfigurationError(
                f"Kafka runs already in {self.directory}: process {', '.join(map(str, running.values()))}",
                hint=f"python -m pelton.testing.broker stop --brokers {len(self.nodes)} --directory {self.directory}",
            )
        for port in (port for node in self.nodes for port in (node.port, node.controller_port)):
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((HOST, port))
                except OSError as taken:
                    raise ConfigurationError(
                        f"could not listen on {HOST}:{port}: {taken.strerror}",
                        hint="end what listens there, or choose another --port",
                    ) from taken

    def _format(self, java: Path, classpath: str) -> None:
        """Write every node's configuration, and format the data directories that are new."""
        arguments = ["format", "--cluster-id", self._layout.id, "--config", "server.properties"]
        arguments += format_arguments(self._secure)
        format_command = self._command(java, classpath, "kafka.tools.StorageTool", *arguments)
        formatting: list[tuple[Node, subprocess.Popen[bytes]]] = []
        for node in self.nodes:
            node.directory.mkdir(parents=True, exist_ok=True)
            plain = broker_properties(node, self.nodes)
            properties = plain | secure_properties(node, self._secure, plain) | self._properties
            lines = (f"{name}={value}\n" for name, value in properties.items())
            (node.directory / "server.properties").write_text("".join(lines))
            (node.directory / "log4j2.properties").write_text(LOG4J)
            if not (node.directory / "data" / "meta.properties").exists():
                self._progress(f"formatting {node.directory}")
                formatting.append((node, run(format_command, node.directory, node.log)))
        for node, process in formatting:
            if process.wait() != 0:
                raise UnavailableError(f"could not format {node.directory}:\n{node.log_tail()}")

    def _launch(self, node: Node, java: Path, classpath: str) -> None:
        command = self._command(java, classpath, "kafka.Kafka", "server.properties")
        self._children[node.id] = launch(
            f"broker {node.id}", command, node.directory, node.log, node.pid_file, lasting=self._lasting
        )

    def _command(self, java: Path, classpath: str, main: str, *arguments: str) -> list[str]:
        """Return how to start one of Kafka's programs."""
        return [str(java), *self._jvm_options, "-cp", classpath, main, *arguments]

    def _await_ready(self) -> None:
        """Wait until every living broker lists all living brokers."""
        waiting_for = {node.id for node in self.nodes if self._alive(node)}

        def ready() -> bool:
            self._refuse_dead(waiting_for)
            ports = (node.port for node in self.nodes if node.id in waiting_for)
            return all(living_brokers(HOST, port) >= waiting_for for port in ports)

        self._wait(ready, START_TIMEOUT_S, f"Kafka on {self.bootstrap}")

    def _refuse_dead(self, expected: set[int] | None = None) -> None:
        for node in self.nodes:
            child = self._children.get(node.id)
            if child is not None and child.poll() is not None and (expected is None or node.id in expected):
                raise UnavailableError(f"broker {node.id} ended with {child.returncode}:\n{node.log_tail()}")

    def _wait(self, condition: Callable[[], bool], timeout_s: float, what: str) -> None:
        wait_until(condition, timeout_s, what, f"see broker.log under {self.directory}")
