"""Kafka Streams as a rival: its jars, and the program for W1, compiled with Eclipse's compiler.

A Java runtime is enough, as for the broker; no JDK is needed.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from pelton.errors import UnavailableError
from pelton.testing.broker.jvm import KAFKA_VERSION, Jars, classpath, find_java

__all__ = ["command"]

ECJ_VERSION = "3.40.0"
JARS = Jars(
    f"kafka-streams-{KAFKA_VERSION}",
    (
        f"org.apache.kafka:kafka-streams:{KAFKA_VERSION}",
        f"org.apache.kafka:kafka-clients:{KAFKA_VERSION}",
        f"org.eclipse.jdt:ecj:{ECJ_VERSION}",
    ),
    (),
    "90 MB",
)
SOURCE = Path(__file__).with_name("W1.java")
HEAP_MIB = 2048


def command(jars: Path, progress: Callable[[str], None]) -> list[str]:
    """Return what starts a worker, after downloading and compiling what is missing.

    Raises: UnavailableError when the jars cannot be had, or the program does not compile.
    """
    java, path = find_java(), classpath(jars, JARS, progress)
    classes = jars.resolve() / JARS.name / "w1"
    compiled = classes / "W1.class"
    if not compiled.exists() or compiled.stat().st_mtime < SOURCE.stat().st_mtime:
        progress("compiling the program for Kafka Streams")
        compiler = ["org.eclipse.jdt.internal.compiler.batch.Main", "--release", "17", "-proc:none", "-nowarn"]
        arguments = [str(java), "-cp", path, *compiler, "-cp", path, "-d", str(classes), str(SOURCE)]
        done = subprocess.run(arguments, capture_output=True, text=True, check=False)
        if done.returncode:
            raise UnavailableError(f"could not compile {SOURCE.name}: {done.stderr or done.stdout}")
    return [str(java), f"-Xmx{HEAP_MIB}m", "-cp", os.pathsep.join([str(classes), path]), "W1"]
